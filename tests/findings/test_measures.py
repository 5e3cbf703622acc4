"""Findings measure known answers, and their verdicts follow from intervals; nothing is trained."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from resnet_lab.findings import (
    anatomy,
    calibration,
    landscape,
    lesion,
    norm_free,
    paths,
    refinement,
    shattered,
    signal,
)
from resnet_lab.findings.finding import Check, Options, bootstrap, verdict
from resnet_lab.findings.subjects import SweepSubject
from resnet_lab.models.preact_resnet import cifar_preact_resnet
from resnet_lab.models.resnet import cifar_resnet

X = torch.randn(60, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Subject:
    """A network with images of noise."""

    def __init__(self, net: nn.Module, name: str = "net", *, trained: bool = True, **model) -> None:
        self.net, self.name, self.trained = net.eval(), name, trained
        self.config = SimpleNamespace(model=model)
        self.data = SimpleNamespace(name="noise", channels=3, image_size=(8, 8))
        with torch.no_grad():
            self.labels = net(X).argmax(1)  # it has all of them right

    def batches(self, count, seed):
        return [(X[:30], self.labels[:30]), (X[30:], self.labels[30:])]

    def images(self, count, seed):
        return X, self.labels


class Logits(Subject):
    """Logits with labels that are drawn from these logits divided by a temperature."""

    def __init__(self, name: str, temperature: float, depth: int) -> None:
        self.name, self.trained, self.temperature = name, True, temperature
        self.config = SimpleNamespace(model={"depth": depth})
        self.data = SimpleNamespace(name="noise")

    def logits(self, count, seed):
        random = torch.Generator().manual_seed(0)
        logits = torch.randn(2000, 10, generator=random) * 2
        labels = torch.multinomial(logits.softmax(1), 1, generator=random)[:, 0]
        return logits * self.temperature, labels


def interval(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


@pytest.mark.parametrize(
    ("low", "high", "at", "expected"),
    [
        (1, 2, "at most", "reproduced"), (1, 3, "at most", "undecided"),
        (2.1, 3, "at most", "not reproduced"), (2, 3, "at least", "reproduced"),
        (1, 2, "above", "not reproduced"), (2.1, 3, "above", "reproduced"),
        (1, 3, "at least", "undecided"), (float("nan"), 1, "at most", "undecided"),
    ],
)  # fmt: skip
def test_a_verdict_follows_from_the_interval(low, high, at: str, expected: str) -> None:
    assert Check("x", "net", at, 2, "C", interval(low, low, high)).verdict == expected


def test_the_worst_check_is_the_verdict_and_controls_alone_are_none() -> None:
    good = Check("x", "net", "at most", 2, "C", interval(1, 1, 1))
    bad, none = good._replace(at="at least"), good._replace(found=None)
    assert verdict([good, none]) == "reproduced"
    assert verdict([good, bad._replace(control=True)]) == "not reproduced"
    assert verdict([none, good._replace(control=True)]) == "not applicable"


def test_the_bootstrap_covers_a_mean() -> None:
    values = np.random.default_rng(0).normal(3, 1, 400)
    found = bootstrap(lambda chosen: float(values[chosen].mean()), 400, 0)
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 / 20, rel=0.2)
    assert found["low"] < found["value"] < found["high"]


def test_calibration_finds_the_temperature_that_made_the_logits_too_sure() -> None:
    subjects = [Logits(f"net{depth}", 1 + depth / 20, depth) for depth in (20, 32, 56)]
    measured = calibration.measure(subjects, Options())
    found = measured["networks"]["net20"]
    assert found["temperature"]["value"] == pytest.approx(2, rel=0.1)
    assert found["ece"]["value"] > 3 * found["ece_after"]["value"]
    assert found["accuracy_changes"] == 0
    assert measured["slope"]["low"] > 0
    control = [check for check in calibration.judge(measured) if check.control]
    assert {check.found["value"] < 1.1 for check in control} == {True}
    assert calibration.draw(measured)


def test_perfect_probabilities_reproduce_no_overconfidence() -> None:
    measured = calibration.measure([Logits("net", 1.0, 20)], Options())
    assert verdict(calibration.judge(measured)) == "not reproduced"


@pytest.mark.parametrize("factor", [0.5, 0.1])
def test_paths_of_linear_blocks_pass_the_factor_to_the_power_of_their_length(factor) -> None:
    net = nn.Sequential(*(paths.Linear(factor) for _ in range(8)), nn.Flatten())
    x = torch.randn(9, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    found = paths.norms(net, x, torch.arange(9) % 3, 0)
    expected = found[:, :1] * factor ** np.arange(9)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    mean_length = paths.weights_of(found.mean(0)) @ np.arange(9)
    assert mean_length == pytest.approx(8 * factor / (1 + factor), rel=1e-5)  # binomial


@pytest.mark.parametrize("family", [cifar_resnet, cifar_preact_resnet])
def test_the_gradients_of_all_paths_add_up_to_the_gradient(family) -> None:
    torch.manual_seed(0)
    options = {} if family is cifar_resnet else {"block": "basic"}
    net = family(8, num_classes=3, **options).double().eval()
    blocks, image = anatomy.blocks_of(net), X[:2].double().requires_grad_()
    whole = torch.autograd.grad(net(image)[:, 0].sum(), image)[0]
    paths_of = [[bool(number >> bit & 1) for bit in range(3)] for number in range(8)]
    parts = []
    for path in paths_of:
        with anatomy.selected(blocks, [torch.tensor([way, way]) for way in path]):
            out = net(image)
        assert torch.equal(out, net(image))
        parts.append(torch.autograd.grad(out[:, 0].sum(), image)[0])
    torch.testing.assert_close(sum(parts), whole)


def test_a_network_gets_a_weight_for_each_length_and_the_control_is_in_the_middle() -> None:
    torch.manual_seed(0)
    measured = paths.measure([Subject(cifar_resnet(8, num_classes=3))], Options())
    assert measured["networks"]["net"]["lengths"] == [0, 1, 2, 3]
    assert sum(measured["networks"]["net"]["weight"]) == pytest.approx(1)
    assert measured["control"]["mean_length"]["value"] == pytest.approx(0.5)
    assert paths.draw(measured)


def lesions(**options) -> dict:
    torch.manual_seed(0)
    net = cifar_resnet(26, num_classes=3, **options)
    return lesion.measure([Subject(net)], Options(draws=3))


def test_blocks_that_do_nothing_can_go_and_change_places() -> None:
    found = lesions(zero_init_residual=True)["networks"]["net"]
    assert found["error"] == 0
    assert set(found["deleted"].values()) == {0.0}
    assert np.abs(found["removed"]).max() == np.abs(found["moved"]).max() == 0
    assert found["halved_and_doubled"] == 0
    assert max(found["reinitialised"]) > 0
    assert found["downsamples"] == [4, 8]


def test_lesions_of_a_working_network_are_those_of_the_whole_forward_pass() -> None:
    """The prefix that is not computed again changes nothing."""
    torch.manual_seed(0)
    subject = Subject(cifar_resnet(26, num_classes=3))
    found = lesion.measure([subject], Options(draws=2))["networks"]["net"]
    for number, block in enumerate(anatomy.blocks_of(subject.net)):
        with anatomy.deleted([block]), torch.no_grad():
            wrong = (subject.net(X).argmax(1) != subject.labels).float().mean()
        assert found["deleted"][number] == pytest.approx(float(wrong), abs=1e-6)


def test_a_plain_network_is_the_control_and_small_networks_are_not_judged() -> None:
    measured = lesions(residual=False)
    checks = lesion.judge(measured)
    assert [check.control for check in checks] == [True]
    assert verdict(checks) == "not applicable"
    assert verdict(lesion.judge(lesions())) == "not applicable"
    assert lesion.draw(json.loads(json.dumps(measured)))


def test_variance_is_linear_with_norms_and_doubles_without() -> None:
    net = cifar_preact_resnet(56, block="basic", num_classes=3)
    measured = signal.measure([Subject(net, trained=False)], Options(draws=5))
    found = measured["untrained"]["net"]
    assert np.shape(found["norm"]["variance"]) == (5, 27)
    assert [stage.start for stage in signal._stages(found["widths"])] == [0, 9, 18]
    measured = json.loads(json.dumps(measured))
    checks = {check.name: check.verdict for check in signal.judge(measured)}
    assert checks["R^2 of variance and block, norm"] == "reproduced"
    assert checks["R^2 of variance and block, no norm"] == "reproduced"  # the control: bent
    assert checks["variance at the start of a stage, of that before"] == "reproduced"
    assert signal.draw(measured)


def test_responses_are_those_of_the_norms() -> None:
    torch.manual_seed(0)
    subjects = [Subject(cifar_resnet(depth, num_classes=3), f"net{depth}") for depth in (14, 8)]
    measured = signal.measure(subjects, Options(images=60))
    assert list(measured["layers"]) == ["net8", "net14"]
    assert list(map(len, measured["layers"].values())) == [7, 13]
    with torch.no_grad():
        stem = subjects[1].net.bn1(subjects[1].net.conv1(X))
    assert measured["layers"]["net8"][0] == pytest.approx(float(stem.std()), rel=1e-3)
    assert measured["ratio"]["low"] <= measured["ratio"]["value"] <= measured["ratio"]["high"]


def test_gradients_shatter_with_depth_and_less_with_shortcuts() -> None:
    measured = json.loads(json.dumps(shattered.measure([], Options(draws=4))))
    found = {name: np.mean(rows, 0) for name, rows in measured["autocorrelation"].items()}
    assert abs(found["white noise"][1]) < 0.15
    assert found["random walk"][1] > 0.9
    assert {round(values[0], 6) for values in found.values()} == {1.0}
    assert verdict(shattered.judge(measured)) != "not reproduced"
    swapped = dict(measured["autocorrelation"])
    swapped[shattered.DEEP] = swapped[shattered.SHALLOW]
    assert verdict(shattered.judge({"autocorrelation": swapped})) == "not reproduced"
    assert shattered.draw(measured)


def test_norm_free_takes_the_best_rate_and_counts_a_diverged_run_as_zero() -> None:
    def job(scheme: str, depth: int, lr: float, accuracy: float | None) -> SimpleNamespace:
        return SimpleNamespace(
            config={"model.scheme": scheme, "model.depth": depth, "optimizer.lr": lr,
                    "data.batch_size": 10},
            state="done" if accuracy else "failed", diverged=accuracy is None,
            status={"steps": 200, "epochs": 2, "metrics": {"train/acc": accuracy}},
        )  # fmt: skip

    sweep = SimpleNamespace(
        training_accuracy=SweepSubject.training_accuracy,
        jobs=[
            job("nf", 110, 0.1, None), job("nf", 110, 0.01, 0.98),
            job("none", 20, 0.1, 0.99), job("none", 110, 0.1, None), job("none", 110, 0.01, 0.1),
        ],
    )  # fmt: skip
    measured = json.loads(json.dumps(norm_free.measure([sweep], Options())))
    assert [run["accuracy"]["value"] for run in measured["runs"]] == [0, 0.98, 0.99, 0, 0.1]
    control, learned = norm_free.judge(measured)
    assert (control.subject, control.control, control.verdict) == (
        "none, 110 layers", True, "reproduced",
    )  # fmt: skip
    assert (learned.subject, learned.verdict) == ("nf, 110 layers", "reproduced")
    assert learned.found["low"] > 0.96  # 980 of 1,000 images
    (plot,) = norm_free.draw(measured)
    assert len(plot.figure.axes) == 2


def test_a_branch_that_is_a_gradient_step_has_cosine_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that add minus a constant gradient: loss = sum of x * direction."""
    direction = torch.tensor([1.0, -2.0, 3.0]).view(1, 3, 1, 1)

    class Step(paths.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.add_shortcut(-self.factor * direction.expand_as(x), x)

    net = nn.Sequential(*(Step(factor) for factor in (1.0, 0.5, -1.0)), nn.Flatten())
    x = torch.randn(8, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    subject = SimpleNamespace(
        name="net", trained=True, net=net, batches=lambda count, seed: [(x, torch.arange(8) % 3)]
    )
    monkeypatch.setattr(
        refinement.F, "cross_entropy",
        lambda logits, labels, reduction: (logits * direction.flatten()).sum(),
    )  # fmt: skip
    found = refinement.measure([subject], Options())["networks"]["net"]
    assert found["cosine_of_block"] == pytest.approx([1, 1, -1])
    assert found["cosine"]["value"] == pytest.approx(1 / 3)
    size = direction.norm() / x.flatten(1).norm(dim=1)
    assert found["ratio_of_block"][0] == pytest.approx(float(size.mean()), rel=1e-5)
    end = (x - 0.5 * direction).flatten(1).norm(dim=1)
    distance = (direction.norm() / (2 * end)).mean()
    assert found["distance_of_block"] == pytest.approx([float(distance), float(2 * distance), 0])


def test_refinement_without_later_branches_is_that_of_a_network_without_them() -> None:
    torch.manual_seed(0)
    subject = Subject(cifar_resnet(14, num_classes=3))
    measured = json.loads(json.dumps(refinement.measure([subject], Options())))
    found = measured["networks"]["net"]
    assert found["blocks"] == [1, 2, 4, 6]
    assert found["accuracy_without_later"][-1] == 1
    with anatomy.deleted(anatomy.blocks_of(subject.net)[2:]), torch.no_grad():
        right = (subject.net(X).argmax(1) == subject.labels).float().mean()
    assert found["accuracy_without_later"][1] == pytest.approx(float(right))
    assert refinement.draw(measured)
    plain = Subject(cifar_resnet(14, num_classes=3, residual=False))
    assert refinement.measure([plain], Options()) == {"networks": {}}


def around(loss) -> np.ndarray:
    """The surface of a loss of two parameters, along their axes."""
    weights = torch.tensor([0.3, -0.2])
    found = landscape.surface(
        lambda: loss(*(weights - torch.tensor([0.3, -0.2])).tolist()), [weights],
        [torch.tensor([1.0, 0.0])], [torch.tensor([0.0, 1.0])],
    )  # fmt: skip
    assert weights.tolist() == pytest.approx([0.3, -0.2])
    return found


def test_no_point_of_a_quadratic_leads_away_from_its_minimum_and_some_of_a_wave_do() -> None:
    tilted = around(lambda x, y: 100 * (x - 2 * y) ** 2 + (2 * x + y) ** 2 + 1)
    assert tilted[8, 8] == 1
    assert tilted[16, 8] == pytest.approx(105)  # the first direction comes first
    assert landscape.leading_away(tilted) == 0
    assert landscape.leading_away(around(lambda x, y: 5 - x * x - y * y)) == pytest.approx(
        224 / 225
    )
    wave = landscape.leading_away(around(lambda x, y: 2 - np.cos(2 * np.pi * x)))  # falls from 0.5
    assert wave == pytest.approx(6 * 15 / 225)
    assert landscape.leading_away(around(lambda x, y: float("inf") if x > 0.9 else x * x)) == 0


def test_a_direction_has_the_norm_of_each_filter_and_leaves_norms_alone() -> None:
    torch.manual_seed(0)
    net = cifar_resnet(8, num_classes=3)
    found = landscape.direction(net, 0)
    for (name, part), moved in zip(net.named_parameters(), found, strict=True):
        if part.dim() == 1:
            assert not moved.any(), name
        else:
            torch.testing.assert_close(moved.flatten(1).norm(dim=1), part.flatten(1).norm(dim=1))
    again = landscape.direction(net, 0)
    assert all(map(torch.equal, found, again))
    assert not torch.equal(landscape.direction(net, 1)[0], found[0])


def test_a_network_is_itself_again_after_its_landscape_and_needs_a_plain_one_that_learned() -> None:
    subjects = []
    for number in range(2):
        torch.manual_seed(0)
        net = cifar_resnet(8, num_classes=3, residual=not number)
        subjects.append(Subject(net, f"net{number}", depth=8))
    before = [{name: x.clone() for name, x in s.net.state_dict().items()} for s in subjects]
    measured = json.loads(json.dumps(landscape.measure(subjects, Options(draws=2))))
    for subject, state in zip(subjects, before, strict=True):
        assert all(torch.equal(x, state[name]) for name, x in subject.net.state_dict().items())
    networks = measured["networks"]
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(subjects[0].net(X), subjects[0].labels)
    assert 10 ** networks["net0"]["log10_loss"][0][8][8] == pytest.approx(float(loss), rel=1e-3)
    assert subjects[0].split == "train"
    assert len(landscape.draw(measured)) == 2
    networks["net0"]["away"], networks["net1"]["away"] = [0.0, 0.0], [0.01, 0.02]
    residual, plain = landscape.judge(measured)
    assert (residual.verdict, plain.verdict, plain.control) == ("reproduced", "undecided", True)
    assert plain.found["value"] == pytest.approx(0.015 * 225)  # of one point
    networks["net1"]["accuracy"] = 0.5
    residual, plain = landscape.judge(measured)
    assert plain.verdict == "not applicable"
    assert plain.reason == "net1 has 50 % of its training images"
    del networks["net1"]
    assert "give a plain run" in landscape.judge(measured)[1].reason
    del networks["net0"]
    assert verdict(landscape.judge(measured)) == "not applicable"
    assert landscape.draw(measured) == []
