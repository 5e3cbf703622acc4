"""Pictures classified from the command line: what may be named, what comes out, what is refused."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from resnet_lab import load, predict
from resnet_lab.data.sources import Digits
from resnet_lab.data.sources.given import find_pictures
from resnet_lab.reporting.classify import Classified, copy_by_class


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of eight digits, two of them in a folder in it."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, image in enumerate(Digits().read("test").pixels[:8]):
        place = folder / "more" if number > 5 else folder
        Image.fromarray(image[..., 0].numpy()).save(place / f"{number}.png")
    return folder


@pytest.fixture
def command(capsys: pytest.CaptureFixture):
    """Run the command in this process; return exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            predict.main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return run


def test_json_holds_what_the_network_says(trained: Path, photos: Path, command) -> None:
    code, out, err = command(trained, photos, "--json", "--top", 3)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["failed"] == []
    assert [Path(each["path"]).stem for each in found["images"]] == list("01234567")
    expected = load(trained).predict_probabilities(Digits().read("test").pixels[:8]).topk(3)
    said = [[entry["probability"] for entry in each["classes"]] for each in found["images"]]
    assert torch.allclose(torch.tensor(said), expected.values, atol=1e-5)
    labels = [[int(entry["class"]) for entry in each["classes"]] for each in found["images"]]
    assert labels == expected.indices.tolist()


def test_csv_and_table_hold_the_same(trained: Path, photos: Path, command) -> None:
    rows = list(csv.DictReader(io.StringIO(command(trained, photos, "--csv", "--top", 2)[1])))
    table = command(trained, photos, "--top", 2)[1]
    assert list(rows[0]) == ["path", "class", "probability", "class_2", "probability_2", "error"]
    for row in rows:
        line = next(line for line in table.splitlines() if row["path"] in line).split()
        assert line[1] == row["class"]
        assert float(line[2]) == pytest.approx(100 * float(row["probability"]), abs=0.051)
    assert "8 images: " in table


def test_files_are_named_in_many_ways(
    trained: Path, photos: Path, command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def named(*arguments: object) -> list[str]:
        code, out, err = command(trained, *arguments, "--json")
        assert (code, err) == (0, "")
        return [Path(each["path"]).stem for each in json.loads(out)["images"]]

    assert named(photos / "3.png", photos / "1.png", photos / "3.png") == ["3", "1"]
    assert named(photos / "*.png") == list("012345")
    assert named(photos / "**/*.png", photos) == list("01234567")
    (photos / "list.csv").write_text("label,path\nx,2.png\ny,more/7.png\n")
    (photos / "bare.tsv").write_text("4.png\tx\n5.png\ty\n")
    assert named(photos / "list.csv", photos / "bare.tsv") == list("2745")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{photos / '0.png'}\n\n{photos / '1.png'}\n"))
    assert named("-") == ["0", "1"]


def test_a_list_may_be_separated_as_spreadsheets_do(photos: Path) -> None:
    (photos / "list.csv").write_text("label;path\nx;2.png\ny;more/7.png\n")
    found = find_pictures([str(photos / "list.csv")])
    assert found == [photos / "2.png", photos / "more/7.png"]


def test_broken_files_are_named_and_the_others_done(trained: Path, photos: Path, command) -> None:
    (photos / "2.png").write_bytes(b"no picture")
    (photos / "list.csv").write_text("1.png\n2.png\ngone.png\n")
    code, out, err = command(trained, photos / "list.csv", "--json")
    assert code == 1
    found = json.loads(out)
    assert [Path(each["path"]).stem for each in found["images"]] == ["1"]
    assert [Path(each["path"]).name for each in found["failed"]] == ["2.png", "gone.png"]
    assert "2.png: cannot identify image file" in err
    assert "gone.png: no such file" in err
    assert err.endswith("2 of 3 files cannot be read\n")


def test_the_gallery_shows_images_and_files_go_to_their_class(
    trained: Path, photos: Path, command, tmp_path: Path
) -> None:
    (photos / "more/0.png").write_bytes((photos / "0.png").read_bytes())  # the name comes twice
    (photos / "<i>.png").write_bytes(b"no picture")
    code, out, _ = command(
        trained, photos, "--gallery", tmp_path / "new/page.html", "--copy-to", tmp_path / "sorted",
        "--json",
    )  # fmt: skip
    assert code == 1
    page = (tmp_path / "new/page.html").read_text()
    assert page.count("data:image/png;base64,") == 9
    assert "&lt;i&gt;.png" in page
    assert "<i>" not in page
    images = json.loads(out)["images"]
    for each in images:
        assert (
            tmp_path / "sorted" / each["classes"][0]["class"] / Path(each["path"]).name
        ).is_file()
    assert len(list((tmp_path / "sorted").rglob("*.png"))) == len(images) == 9


def test_no_class_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"x")
    classes = ["../../out", "/root", "..", "a/b", "a_b", ""]
    found = [Classified(tmp_path / "picture.png", (label,), (1.0,)) for label in range(6)]
    copy_by_class(found, classes, tmp_path / "sorted")
    there = [path.relative_to(tmp_path) for path in tmp_path.rglob("picture.png")]
    assert len(there) == 7
    assert all(
        path.parts[0] == "sorted" and len(path.parts) == 3 for path in there if len(path.parts) > 1
    )
    assert (tmp_path / "sorted/3_a_b").is_dir()


def test_an_ensemble_is_the_mean_and_needs_the_same_classes(
    trained: Path, photos: Path, command, tmp_path: Path
) -> None:
    def other(name: str, classes: str, scale: float) -> Path:
        """Return a copy of the run with other weights of its head."""
        copy = Path(shutil.copytree(trained, tmp_path / name))
        state = torch.load(copy / "checkpoints/last.ckpt", weights_only=True)
        state["data"]["classes"] = list(classes)
        state["state_dict"]["net.fc.weight"] *= scale
        torch.save(state, copy / "checkpoints/last.ckpt")
        return copy

    def said(*arguments: object) -> torch.Tensor:
        images = json.loads(command(*arguments, photos, "--json", "--top", 10)[1])["images"]
        by_class = ({each["class"]: each["probability"] for each in i["classes"]} for i in images)
        return torch.tensor([[each[name] for name in "0123456789"] for each in by_class])

    second = other("second", "0123456789", 0.1)
    both = said(trained, "--ensemble", second)
    assert torch.allclose(both, (said(trained) + said(second)) / 2, atol=1e-6)
    assert not torch.allclose(both, said(trained))
    code, _, err = command(trained, photos, "--ensemble", other("letters", "abcdefghij", 1))
    assert code == 1
    assert "letters has other classes than" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.png"], "nowhere.png: no such file or folder"),
        ([""], ": no such file or folder"),
        (["*.jpg"], "*.jpg: no such file or folder"),
        (["."], ". holds no pictures"),
        (["photos", "--top", "0"], "--top=0: must be an integer >= 1"),
        (["photos", "--device", "tpu"], "device=tpu: must be auto, cpu or gpu"),
        (["photos", "--checkpoint", "nowhere"], "nowhere: no such checkpoint"),
        (["photos", "--ensemble", "nowhere"], "nowhere: no such directory"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str], said: str, trained: Path, photos: Path, command, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    if arguments == ["."]:
        monkeypatch.chdir(tmp_path / "empty")
    code, out, err = command(trained, *arguments)
    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1
