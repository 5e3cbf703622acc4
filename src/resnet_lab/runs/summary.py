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
    values = [test[name] for name in (metric, f"{metric}_low", f"{metric}_high")]
    if metric == "acc":
        value, low, high = (f"{100 * each:.2f}" for each in values)
        value += " %"
    else:
        value, low, high = (f"{each:.4f}" for each in values)
    return f"{value}  (95 % interval {low} to {high}, {test['images']:,} images)"


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
        first = headline(status["test"], run.config.monitor)
        for metric in dict.fromkeys((first, *["acc"] * ("acc" in status["test"]))):
            what = "accuracy" if metric == "acc" else metric
            said = tested(status["test"], metric)
            rows.append((f"test {what}", f"{said}, {run.config.test} epoch"))
    if "expected" in status:
        expected = status["expected"]
        said = f"{'PASS' if expected['passed'] else 'FAIL'}: {expected['metric']} "
        said += f"{expected['measured']:.4f}, expected {expected['value']} to "
        said += f"{expected['tolerance']} ({expected['source']})"
        rows.append(("expected", said))
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
