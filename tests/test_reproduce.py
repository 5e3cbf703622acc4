"""Findings reproduced from the command line: files, verdicts, wrong input in one line."""

import json
from pathlib import Path

import pytest

from resnet_lab import reproduce
from resnet_lab.findings.finding import NAMES
from resnet_lab.train import train


def test_the_list_names_every_finding_with_paper_and_cost(capsys) -> None:
    reproduce.main([])
    out = capsys.readouterr().out
    for name in NAMES:
        finding = reproduce.finding_of(name)
        assert name in out
        assert finding.MINUTES
        assert finding.__doc__.count("\n\n") >= 1
        assert "Control: " in finding.__doc__


@pytest.mark.parametrize("name", [name for name in NAMES if name != "norm_free"])
def test_a_run_gets_the_files_of_a_finding(name: str, trained: Path, capsys) -> None:
    given = ["model=preact_resnet164", "model.depth=29"] if name == "signal" else []
    reproduce.main([name, str(trained), *given, "--images", "60", "--draws", "2", "--json"])
    result = json.loads(capsys.readouterr().out)
    folder = trained / "findings"
    assert json.loads((folder / f"{name}.json").read_text())["verdict"] == result["verdict"]
    assert (result["finding"], result["images"], result["draws"]) == (name, 60, 2)
    split = "training" if name == "landscape" else "validation"
    assert result["subjects"][0]["split"] == split
    assert len(result["subjects"][0]["sha256"]) == 64
    text = (folder / f"{name}.html").read_text()
    assert f'<p class="lead">{result["verdict"].capitalize()}' in text
    assert "<script" not in text
    few = name in ("lesion", "refinement")  # a block a stage: not applicable
    assert bool(list(folder.glob(f"{name}_*.png"))) != few
    finding = reproduce.finding_of(name)
    (folder / f"{name}.html").unlink()
    reproduce.main([str(folder / f"{name}.json")])
    assert (folder / f"{name}.html").is_file()
    again = finding.judge(json.loads((folder / f"{name}.json").read_text())["measured"])
    assert [check.verdict for check in again] == [each["verdict"] for each in result["checks"]]


def test_a_sweep_gets_the_files_of_a_finding(tiny, tmp_path: Path, capsys) -> None:
    for scheme in ("none", "nf"):
        given = ("model=norm_free_resnet", f"model.scheme={scheme}", "trainer.max_epochs=1")
        train(tiny(*given), tmp_path / f"sweep/{scheme}", given)
    capsys.readouterr()
    reproduce.main(["norm_free", str(tmp_path / "sweep"), "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result["subjects"] == [{"name": "sweep", "runs": 2, "data": "digits"}]
    for check in result["checks"]:  # of 192 images
        assert check["found"]["low"] <= check["found"]["value"] <= check["found"]["high"]
        assert 0.02 < check["found"]["high"] - check["found"]["low"] < 0.2
    folder = tmp_path / "sweep/findings"
    assert "sweep, 2 runs, digits" in (folder / "norm_free.html").read_text()
    assert list(folder.glob("norm_free_*.png"))
    with pytest.raises(SystemExit):
        reproduce.main(["norm_free"])
    told = "norm_free needs a sweep: resnet-train sweep=norm_free"
    assert told in capsys.readouterr().err


def test_a_run_of_a_sweep_is_no_override(trained: Path, capsys) -> None:
    job = trained.parent / "optimizer.lr=0.1,seed=0"
    trained.rename(job)
    reproduce.main(["paths", str(job), "--images", "4"])
    assert (job / "findings/paths.json").is_file()


def test_strict_fails_unless_reproduced(trained: Path, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        reproduce.main(["lesion", str(trained), "--draws", "2", "--strict", "--out", "other"])
    assert end.value.code == 1
    assert "verdict: not applicable" in capsys.readouterr().out
    assert Path("other/findings/lesion.json").is_file()
    assert not (trained / "findings").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["leson"], "leson: no such finding; there are calibration, lesion"),
        (["lesion"], "lesion needs trained networks"),
        (["lesion", "nowhere"], "nowhere: no such directory"),
        (["lesion", "model=resnet20"], "lesion needs trained networks"),
        (["lesion", "x", "--images", "0"], "--images=0: must be an integer >= 2"),
        (["lesion", "x", "--draws", "1"], "--draws=1: must be an integer >= 2"),
        (["paths", "--weights", "nowhere.th"], "nowhere.th does not exist"),
        (["paths", "--weights", "akamaster_resnet56", "--split", "val"], "--split val: akamaster"),
        (["signal", "model=resnet21"], "model=resnet21"),
        (["signal", "model.depth=21"], "depth 21"),
    ],
)
def test_wrong_input_gets_one_line(arguments: list[str], expected: str, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        reproduce.main(arguments)
    assert end.value.code == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert expected in err
    assert err.count("\n") == 1
    assert not list(Path().iterdir())
