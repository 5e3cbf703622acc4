"""Tables, arrays and Hugging Face sets, as real files that each test writes."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_lab.data.facts import find_facts
from resnet_lab.data.sources import ArraysFile, HuggingFaceSource, TableFile
from resnet_lab.data.sources.base import read
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from tests.data.fakes import error, pixels
from tests.helpers import Command, Compose


def write_table(root: Path, header: list[str], rows: list[list[Any]]) -> str:
    """Write labels.csv and the pictures that its first column names, of one grey each."""
    (root / "pictures").mkdir(parents=True)
    for index, row in enumerate(rows):
        Image.new("RGB", (20, 10 + index % 2), (index,) * 3).save(root / row[0])
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(root / "labels.csv")


def names(count: int) -> list[str]:
    return [f"pictures/{index}.png" for index in range(count)]


def test_a_table_of_classes_trains(tmp_path: Path, tiny: Compose) -> None:
    rows = [[name, "cat" if index % 3 else "dog"] for index, name in enumerate(names(60))]
    file = write_table(tmp_path / "set", ["path", "label"], rows)
    train(tiny("data=table", f"data.file={file}", "data.batch_size=8"), "run")
    run = Run.load("run")
    data = run.config.data
    assert (data.num_classes, data.channels, data.image_size) == (2, 3, 64)
    assert run.load_task()[1]["classes"] == ["cat", "dog"]
    source = TableFile(file, image_size=8, channels=3)
    train_part, test = read(source, "train"), read(source, "test")
    assert test.labels.bincount().tolist() == [8, 4]
    greys = torch.cat([train_part.pixels, test.pixels])[:, 0, 0, 0]
    assert sorted(greys.tolist()) == list(range(60))
    assert all((grey % 3 > 0) == (label == 0) for grey, label in zip(
        test.pixels[:, 0, 0, 0].tolist(), test.labels.tolist(), strict=True))  # fmt: skip


def test_a_table_may_say_which_picture_is_of_which_split(tmp_path: Path) -> None:
    splits = ["train", "train", "val", "test"]
    rows = [[n, splits[i % 4], i // 4 + 9] for i, n in enumerate(names(8))]
    source = TableFile(write_table(tmp_path, ["path", "split", "label"], rows), image_size=8)
    assert source.splits == ("train", "val", "test")
    assert source.classes == ("9", "10")  # by number, not by letter
    assert read(source, "val").labels.tolist() == [0, 1]
    assert read(source, "val").pixels[:, 0, 0, 0].tolist() == [2, 6]


def test_one_column_per_label_is_several_labels(tmp_path: Path) -> None:
    rows = [[name, "test" if i > 3 else "train", i % 2, 1] for i, name in enumerate(names(6))]
    source = TableFile(write_table(tmp_path, ["path", "split", "red", "big"], rows), image_size=8)
    assert source.classes == ("red", "big")
    assert read(source, "test").labels.tolist() == [[0, 1], [1, 1]]
    assert find_facts(source)["num_classes"] == 2


def test_a_column_of_numbers(tmp_path: Path) -> None:
    rows = [[name, "test" if i > 3 else "train", i / 2] for i, name in enumerate(names(6))]
    file = write_table(tmp_path, ["path", "split", "age"], rows)
    source = TableFile(file, image_size=8, numbers=True)
    assert source.classes == ("age",)
    assert read(source, "test").labels.tolist() == [[2.0], [2.5]]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("path\na.png\n", {}, "has the columns path: one of labels is missing"),
        ("path,label\na.png,1\n", {"label": "kind"}, "columns path, label: kind is missing"),
        ("path,a,b\na.png,1,2\n", {}, "b=2: must be 0 or 1"),
        ("path,a\na.png,old\n", {"numbers": True}, "a=old: must be a number"),
        ("path,a\nb.png\n", {}, "fewer columns"),
        ("path,a\na.png,x,y\n", {}, "a row has more or fewer columns than the first line"),
        ("path,label\na.png,\n", {}, "the row of 'a.png' has no label"),
        ("path,split,label\na.png,valid,1\n", {}, "split=valid: use train, val, test"),
        ("path,label\nb.png,1\n", {}, "1 of 1 images cannot be read, the first is"),
        ("", {}, "has the columns none"),
    ],
)
def test_what_is_wrong_with_a_table(text: str, options: Any, said: str, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text(text)
    assert said in error(TableFile(str(tmp_path / "t.csv"), image_size=8, **options))


def save(path: Path, **arrays: np.ndarray) -> str:
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    return str(path)


@pytest.mark.parametrize("suffix", ["npz", "h5"])
def test_arrays_withsplits_of_their_own(suffix: str, tmp_path: Path, tiny: Compose) -> None:
    arrays = {}
    for split, count in (("train", 40), ("val", 10), ("test", 20)):
        arrays[f"{split}_images"] = pixels(count, 12, 10, 3)
        arrays[f"{split}_labels"] = (np.arange(count) % 5).astype(np.uint8)[:, None]
    file = save(tmp_path / f"set.{suffix}", **arrays)
    source = ArraysFile(file)
    assert source.splits == ("train", "val", "test")
    assert np.array_equal(read(source, "val").pixels, arrays["val_images"])
    assert read(source, "test").labels.tolist() == arrays["test_labels"][:, 0].tolist()
    train(tiny("data=arrays", f"data.file={file}", "data.batch_size=8"), "run")
    data = Run.load("run").config.data
    assert (data.num_classes, data.channels, [*data.image_size]) == (5, 3, [12, 10])


def test_arrays_without_a_test_split_channels_first_and_floats(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((50, 1, 8, 8), np.float32)
    file = save(tmp_path / "set.npz", x=images, y=np.arange(50) % 2)
    source = ArraysFile(file, range=[0, 1])
    assert read(source, "test").labels.bincount().tolist() == [5, 5]
    assert read(source, "train").pixels.shape == (40, 8, 8, 1)
    assert "range=" in error(ArraysFile(file))


def test_arrays_of_several_labels_and_of_numbers(tmp_path: Path) -> None:
    images = pixels(6, 8, 8)
    for labels, shape in ((np.eye(3, dtype=int)[[0, 1, 2] * 2], (6, 3)), (np.ones(6), (6, 1))):
        name = f"set{shape[1]}.npz"
        split = {f"{split}_images": images for split in ("train", "test")}
        split |= {f"{split}_labels": labels for split in ("train", "test")}
        source = ArraysFile(save(tmp_path / name, **split))
        assert read(source, "train").labels.shape == shape
        assert len(source.classes) == shape[1]


def test_what_is_wrong_with_arrays(tmp_path: Path, command: Command) -> None:
    assert "cannot be read: " in error(ArraysFile(str(tmp_path / "none.npz")))
    file = save(tmp_path / "set.npz", pictures=np.zeros(3))
    assert "it has pictures" in error(ArraysFile(file))
    for labels, said in ((np.zeros(50, int), "(50,)"), (np.full(60, "cat"), "<U3 (60,)")):
        source = ArraysFile(save(tmp_path / "wrong.npz", x=pixels(60, 8, 8), y=labels))
        assert f"{said} for x (60, 8, 8): a number for each image is needed" in error(source)
    code, _, said = command("data=arrays", f"data.file={file}")
    assert code == 1
    assert len(said.splitlines()) == 1


@pytest.mark.filterwarnings("ignore:Cannot ")  # dill of a class of pyarrow's
def test_a_set_of_hugging_face_from_a_folder(tmp_path: Path, tiny: Compose) -> None:
    datasets, pyarrow = pytest.importorskip("datasets"), pytest.importorskip("pyarrow")
    features = datasets.Features(
        {"picture": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"])}
    )
    pictures = []
    for index in range(60):
        file = io.BytesIO()
        Image.new("L", (12, 12), index).save(file, "png")
        pictures.append({"bytes": file.getvalue(), "path": None})

    def rows(count: int) -> Any:
        columns = {"picture": pictures[:count], "kind": [index % 2 for index in range(count)]}
        table = pyarrow.table(columns, schema=features.arrow_schema)
        # With a fingerprint, nothing is hashed: that fails with some versions of pyarrow.
        info = datasets.DatasetInfo(features=features)
        return datasets.Dataset(datasets.table.InMemoryTable(table), info, fingerprint=f"n{count}")

    rows(60).save_to_disk(tmp_path / "whole")
    datasets.DatasetDict(train=rows(60), validation=rows(60), test=rows(5)).save_to_disk(
        tmp_path / "parts"
    )
    source = HuggingFaceSource(str(tmp_path / "parts"), image_size=12, channels=1)
    assert source.splits == ("train", "val", "test")
    assert read(source, "test").pixels[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    cfg = tiny("data=huggingface", f"data.dataset={tmp_path / 'whole'}", "data.batch_size=8")
    train(cfg, "run")
    run = Run.load("run")
    data = run.config.data
    assert (data.num_classes, data.channels, data.image_size) == (2, 1, 12)
    assert run.load_task()[1]["classes"] == ["cat", "dog"]
    assert [*run.status["data_sha256"]] == [path.name for path in Path("whole").glob("*.arrow")]
    assert "data.source.label" in error(
        HuggingFaceSource(str(tmp_path / "whole"), label="color", image_size=8)
    )
