"""What a run came to, for the person who started it."""

import shlex
from typing import Any

from rich.text import Text

from resnet_lab.core.console import show
from resnet_lab.core.directions import headline
from resnet_lab.runs.active import ActiveRun


def tested(test: dict[str, Any], metric: str) -> str:
    """Format a metric of a test with its 95 % interval; an accuracy in percent."""
    if f"{metric}_low" not in test:
        return f"{test[metric]:.4f}"
    if metric != "acc":
        low, high = (test[f"{metric}_{end}"] for end in ("low", "high"))
        interval = f"95 % interval {low:.4f} to {high:.4f}, {test['images']:,} images"
        return f"{test[metric]:.4f}  ({interval})"
    return (
        f"{100 * test['acc']:.2f} %  (95 % interval {100 * test['acc_low']:.2f} to "
        f"{100 * test['acc_high']:.2f}, {test['images']:,} images)"
    )


def show_summary(run: ActiveRun) -> None:
    """Print the result of a finished run and the commands to try next."""
    if not run.leads:
        return
    status = run.status
    directory = shlex.quote(str(run.shown))
    rows = []
    if status.get("state") == "pruned":
        epochs = f"{status['epochs']} of {run.config.trainer.max_epochs} epochs"
        rows.append(("pruned", f"by the search, after {epochs}"))
    if "test" in status:
        metric = headline(status["test"], run.config.monitor)
        what = "accuracy" if metric == "acc" else metric
        said = tested(status["test"], metric)
        rows.append((f"test {what}", f"{said}, {run.config.test} epoch"))
    if "expected" in status:
        expected = status["expected"]
        verdict = "PASS" if expected["passed"] else "FAIL"
        rows.append(
            (
                "expected",
                f"{verdict}: {expected['metric']} {expected['measured']:.4f}, expected "
                f"{expected['value']} to {expected['tolerance']} ({expected['source']})",
            )
        )
    if "best" in status:
        best = status["best"]
        rows.append((f"best {best['monitor']}", f"{best['value']:.4f}  (epoch {best['epoch']})"))
    speed = f"{status.get('images_per_second', 0):,.0f} images/s"
    rows += [
        ("epochs", f"{status.get('epochs', 0)} in {status.get('seconds', 0):.1f} s, {speed}"),
        ("device", f"{status.get('device')}, {status.get('precision')}"),
        ("run", directory),
    ]
    if not (run.directory.parent / "sweep.json").exists():  # a sweep ends with its own report
        rows += [
            ("next", f"python -m resnet_lab.evaluate {directory}"),
            ("", f"tensorboard --logdir {shlex.quote(str(run.shown.parent))}"),
            ("", "python -m resnet_lab.train -m optimizer.lr=0.1,0.05 seed=0,1,2"),
        ]
    width = max(len(name) for name, _ in rows)
    lines = (Text.assemble((f"{name:<{width}}  ", "bold"), value) for name, value in rows)
    show(Text("\n").join(lines))
