"""A deep residual network trains without norms if it starts near the identity (De & Smith 2020).

`sweep=norm_free` trains networks of 20, 56 and 110 layers without any normalisation on the digits,
each at three learning rates: as if it had norms (`none`), with branches that begin at zero
(SkipInit, Fixup), and with branches that add little (NF-ResNets). What counts is the accuracy on
the training images at the best of the rates; a run that diverged has none.

Pitfalls: that a network trains does not say that it generalises as one with norms; the rate must
be searched for each depth and scheme, or the one that happens to suit wins. The accuracy is that of
the last epoch while it learned, on augmented images.

Control: `none` must fail at the greatest depth, at every rate.
"""

from collections.abc import Sequence

from resnet_lab.findings.finding import Check, Measured, Options
from resnet_lab.findings.subjects import SweepSubject
from resnet_lab.models.norm_free_resnet import SCHEMES
from resnet_lab.reporting.plots.drawing import Plot
from resnet_lab.reporting.plots.figure import look, new_figure, tidy

TITLE = "Without normalisation: a deep residual network needs a start near the identity"
PAPER = "De & Smith 2020; Zhang et al. 2019 (Fixup); Brock et al. 2021 (NF-ResNets)"
NEEDS = "a sweep: resnet-train sweep=norm_free"
MINUTES = "less than 1; the sweep with trainer.max_epochs=15: 45"
EXPLAINED = (
    "Batch norm does many things, and one of them is to make each residual branch small against "
    "what it is added to. Do that by hand - start each branch at zero, or scale it down - and a "
    "network of 110 layers trains without any norm. Leave it out, and the signal doubles at every "
    "block: no learning rate is right for such a network."
)
IMAGES = None
UNTRAINED = False
OF_SWEEPS = True

LEARNED = 0.95  # C: accuracy on training images, at least
FAILED = 0.5  # C: of the control, at most


def measure(subjects: Sequence[SweepSubject], options: Options) -> Measured:
    """Read the training accuracy of each scheme, depth and learning rate."""
    found = []
    for subject in subjects:
        for job in subject.jobs:
            scheme = str(job.config.get("model.scheme"))
            if scheme in SCHEMES and (job.state == "done" or job.diverged):
                found.append({
                    "scheme": scheme, "depth": int(job.config["model.depth"]),
                    "lr": float(job.config["optimizer.lr"]),
                    "accuracy": subject.training_accuracy(job),
                })  # fmt: skip
    if not found:
        raise ValueError(f"norm_free needs {NEEDS}")
    return {"runs": found}


def judge(measured: Measured) -> list[Check]:
    """Compare the best rate of each scheme and depth with the threshold; binomial intervals."""
    runs = measured["runs"]
    deepest = max(run["depth"] for run in runs)
    checks = []
    for scheme in SCHEMES:
        for depth in sorted({run["depth"] for run in runs if run["scheme"] == scheme}):
            control = scheme == "none"
            if control and depth < deepest:
                continue
            same = [run for run in runs if (run["scheme"], run["depth"]) == (scheme, depth)]
            best = max(same, key=lambda run: run["accuracy"]["value"])["accuracy"]
            at, threshold = ("at most", FAILED) if control else ("at least", LEARNED)
            name = f"training accuracy at the best of {len(same)} learning rates"
            checks.append(
                Check(name, f"{scheme}, {depth} layers", at, threshold, "C", best, control)
            )
    if not any(check.control for check in checks):
        checks.append(Check("no scheme", "none", "at most", FAILED, "C", None, True, "no such run"))
    return checks


def draw(measured: Measured) -> list[Plot]:
    """Draw training accuracy against the learning rate, a panel for each depth."""
    runs = measured["runs"]
    depths = sorted({run["depth"] for run in runs})
    figure = new_figure(1 + 3.2 * len(depths), 3.6)
    panels = figure.subplots(1, len(depths), sharey=True, squeeze=False)[0]
    for axes, depth in zip(panels, depths, strict=True):
        for number, scheme in enumerate(SCHEMES):
            points = sorted(
                (run["lr"], 100 * run["accuracy"]["value"])
                for run in runs
                if (run["scheme"], run["depth"]) == (scheme, depth)
            )
            axes.plot(*zip(*points, strict=True), label=scheme, **look(number)) if points else None
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")  # figures here show no formulas
        axes.set_ylim(0, 102)
        tidy(axes, f"learning rate, {depth} layers")
    panels[0].set_ylabel("training accuracy (%)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return [Plot("Training without norms", "A run that diverged is drawn at 0.", figure)]
