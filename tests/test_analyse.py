"""A run analysed from the command line: its page, its numbers, its files."""

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_lab import analyse, export, load, predict
from resnet_lab.data.sources import Digits
from resnet_lab.runs.trained.evaluation import evaluate
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from tests.helpers import TINY


@pytest.fixture(scope="module")
def analysed(_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files of an analysis of the trained run lie."""
    out = tmp_path_factory.mktemp("analysed")
    analyse.main([str(_trained), "--out", str(out)])
    return out


def refused(*arguments: object, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        analyse.main([str(argument) for argument in arguments])
    assert end.value.code == 1
    return capsys.readouterr().err


def test_the_numbers_are_those_of_an_evaluation(analysed: Path, trained: Path) -> None:
    numbers = json.loads((analysed / "analysis.json").read_text())
    found = evaluate(Run.load(trained))
    for key in ("acc", "acc_low", "acc_high", "images"):
        assert numbers[key] == pytest.approx(found[key])
    assert numbers["calibration"]["nll"] == pytest.approx(found["loss"], rel=1e-4)
    for name, entry in found["classes"].items():
        assert numbers["classes"][name]["recall"] == pytest.approx(entry["acc"])
    assert sum(map(sum, numbers["confusion"])) == 360
    cost = numbers["cost"]
    net = load(trained)
    assert cost["parameters"] == sum(part.numel() for part in net.module.parameters())
    assert cost["macs"] > cost["parameters"]
    assert all(rate > 0 for rate in cost["images_per_second"].values())


def test_every_prediction_is_in_the_table(analysed: Path, trained: Path) -> None:
    with (analysed / "analysis/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    images, labels = Digits().read("test")
    probabilities = load(trained).predict_probabilities(images)
    said = torch.tensor([[float(row[f"p({digit})"]) for digit in range(10)] for row in rows])
    assert torch.allclose(said, probabilities, atol=2e-6)
    assert [int(row["true"]) for row in rows] == labels.tolist()
    assert all(row["predicted"] == row["class_1"] for row in rows)


class Page(HTMLParser):
    """What a page refers to, and its headings."""

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.sources: list[str] = []
        self.tags: set[str] = set()
        self._open = False

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self._open = tag == "h2"
        self.tags.add(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_data(self, data: str) -> None:
        if self._open:
            self.headings.append(data)
            self._open = False


def test_the_page_needs_nothing_but_itself_and_answers_first(analysed: Path) -> None:
    text = (analysed / "analysis.html").read_text()
    page = Page()
    page.feed(text)
    assert page.headings == [
        "Confused most often", "Classes", "Most confident mistakes", "Least confident hits",
        "Labels to check", "Like a training image", "Calibration", "Where it looks", "Features",
        "Filters of the first layer", "Cost", "Curves",
    ]  # fmt: skip
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in page.sources)
    assert not page.tags & {"script", "link", "iframe"}
    assert text.index("of 360 test images are right") < text.index("<h2>")
    figures = {"confusion", "confusion_counts", "reliability", "features", "filters", "curves"}
    files = {path.name for path in (analysed / "analysis").iterdir()} - {"predictions.csv"}
    assert files == {f"{name}.{kind}" for name in figures for kind in ("png", "svg")}


def test_names_from_elsewhere_do_not_act_on_the_page(trained: Path, tmp_path: Path) -> None:
    path = trained / "checkpoints/last.ckpt"
    state = torch.load(path, weights_only=True)
    state["data"]["classes"] = ["<script>x</script>", "=1+1", "\x1b[2J", *"bcdefgh"]
    torch.save(state, path)
    analyse.main([str(trained)])
    text = (trained / "analysis.html").read_text()
    assert "<script" not in text
    assert "\x1b" not in text
    assert "'=1+1" in (trained / "analysis/predictions.csv").read_text()


def test_the_validation_split_is_analysed_without_a_temperature(trained: Path) -> None:
    analyse.main([str(trained), "--split", "val"])
    numbers = json.loads((trained / "analysis.json").read_text())
    assert (numbers["split"], numbers["images"], numbers["temperature"]) == ("val", 144, None)
    with pytest.raises(ValueError, match="has no fitted temperature"):
        load(trained, calibrated=True)


def test_the_temperature_is_carried_to_predictions(analysed: Path, trained: Path, capsys) -> None:
    images, _ = Digits().read("test")
    with pytest.raises(ValueError, match="no fitted temperature; run: resnet-analyse"):
        load(trained, calibrated=True)
    (trained / "analysis.json").write_bytes((analysed / "analysis.json").read_bytes())
    net = load(trained, calibrated=True)
    temperature = json.loads((analysed / "analysis.json").read_text())["temperature"]
    assert net.temperature == temperature != 1
    expected = (net(images) / temperature).softmax(1)
    assert torch.allclose(net.predict_probabilities(images), expected)
    state = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    torch.save({**state, "extra": 1}, trained / "checkpoints/last.ckpt")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        predict.main([str(trained), str(analysed / "analysis"), "--calibrated"])
    assert "fitted to other weights" in capsys.readouterr().err


@pytest.mark.parametrize(("classes", "split"), [(2, "val"), (21, "test")])
def test_a_folder_is_analysed_with_few_and_with_many_classes(
    classes: int, split: str, tiny, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    for number in range(126):
        folder = tmp_path / "photos" / f"class {number % classes}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (12, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    cfg = tiny(
        "data=image_folder", f"data.root={tmp_path / 'photos'}", "data.image_size=8",
        "data.batch_size=8", "trainer.max_epochs=1", "data.val_size=0.3",
    )  # fmt: skip
    train(cfg, "run", trust=True)
    Path("run/metrics.csv").unlink()
    analyse.main(["run", "--split", split])
    with Path("run/analysis/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 20
    for row in rows:
        assert row["path"].split("/")[0] == row["true"]
        assert (tmp_path / "photos" / row["path"]).is_file()
    text = Path("run/analysis.html").read_text()
    assert str(tmp_path) not in text
    assert ("top-5 accuracy" in text) == (classes == 21)
    assert "<h2>Curves" not in text


def test_a_run_ends_with_its_analysis_if_asked(command, trained: Path) -> None:
    assert command(*TINY, "run_dir=run", "analyse=true", "trainer.max_epochs=1")[0] == 0
    assert Path("run/analysis.html").is_file()
    assert not (trained / "analysis.html").exists()
    code, _, err = command(*TINY, "analyse=perhaps")
    assert code == 1
    assert "analyse=perhaps: must be true or false" in err


def test_what_is_wrong_is_one_line(trained: Path, capsys) -> None:
    assert "no such directory" in refused("nowhere", capsys=capsys)
    assert "no such checkpoint" in refused(trained, "--checkpoint", "nowhere", capsys=capsys)
    err = refused(trained, "--data-dir", "nowhere", capsys=capsys)
    assert "no such directory" in err
    assert err.count("\n") == 1


def test_nothing_is_written_through_a_link(trained: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "elsewhere").mkdir()
    (trained / "analysis").symlink_to(tmp_path / "elsewhere")
    assert "is a link to elsewhere" in refused(trained, capsys=capsys)
    (trained / "export").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SystemExit):
        export.main([str(trained), "--to", "torch"])
    assert "is a link to elsewhere" in capsys.readouterr().err
    assert not list((tmp_path / "elsewhere").iterdir())
