import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from resnet_lab.reporting.ranking.leaderboard import rank
from resnet_lab.reporting.reading import read_results
from resnet_lab.reporting.report import write_pages
from tests.reporting.fakes import fake_job, fake_sweep

NEED_NO_END = ("meta", "img")


class Checked(HTMLParser):
    """Hold a page to its own tags, and collect what it shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.shown: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in NEED_NO_END:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href"):
                assert (value or "").startswith(("#", "data:")), value

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1] != "style":
            self.shown.append(data.strip())


def write(directory: Path, **options: bool) -> dict[str, str]:
    results = read_results([directory])
    paths = write_pages(results, rank(results), directory / "out", **options)
    assert sorted(path.name for path in (directory / "out").iterdir()) == sorted(
        path.name for path in paths
    )
    return {path.name: path.read_text() for path in paths}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    values = {("optimizer.lr=0.1",): [0.9, 0.92, 0.91], ("optimizer.lr=0.01",): [0.7, 0.73, 0.71]}
    fake_sweep(tmp_path, values, curve=[0.3, 0.6, 0.7])
    fake_job(
        tmp_path, "optimizer.lr=9", "seed=0", state="failed", value=None, error="<b>`x` | a&b</b>"
    )
    return tmp_path


def test_the_html_page_is_complete_and_self_contained(sweep: Path) -> None:
    text = write(sweep)["report.html"]
    page = Checked(text)
    assert "script" not in page.tags
    assert {"svg", "table", "figure"} <= page.tags
    assert not re.search(r"@import|url\((?!#)", text)
    assert "<b>" not in text
    assert "<b>`x` | a&b</b>" in page.shown
    assert "6 done" in page.shown
    assert "1 failed" in page.shown
    assert any(said.startswith("Best: lr=0.1, with val/acc 91.00 %") for said in page.shown)
    assert any("never by the test split" in said for said in page.shown)


def test_ids_in_the_html_page_are_unique(sweep: Path) -> None:
    named = set(re.findall(r'<\w+ id="[^"]+".*?>', write(sweep)["report.html"], re.DOTALL))
    ids = [re.findall(r'id="([^"]+)"', tag)[0] for tag in named]
    assert len(ids) == len(set(ids)) > 10


def test_pages_without_plots_have_no_svg(sweep: Path) -> None:
    assert "svg" not in Checked(write(sweep, plots=False)["report.html"]).tags


def test_a_long_table_is_folded_after_twenty_rows(tmp_path: Path) -> None:
    for number in range(23):
        fake_job(tmp_path, f"optimizer.lr={number}", "seed=0", value=number / 100)
    pages = write(tmp_path, plots=False)
    page = pages["report.html"]
    Checked(page)
    shown, folded = page.split("<summary>3 more</summary>")
    assert (shown.count("<tbody>"), folded.count("<tbody>")) == (1, 1)
    assert re.search(r"<td>20</td>", shown)
    assert re.search(r"<td>21</td>", folded)
    assert pages["report.md"].count("<details><summary>3 more</summary>") == 1
    assert "| 23 | 0 |" in pages["report.md"]


def test_the_markdown_is_a_table(sweep: Path) -> None:
    lines = write(sweep)["report.md"].splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + 3
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {rows[0].count("|")}
    assert rows[2].startswith("| 1 | 0.1 | 3 | 91.00 |")
    assert "- ``<b>`x` | a&b</b>`` (lr=9, seed=0)" in lines


def test_report_csv_has_plain_numbers_and_a_row_for_each_group(sweep: Path) -> None:
    best, other, none = csv.DictReader(write(sweep)["report.csv"].splitlines())
    assert (best["rank"], best["optimizer.lr"], best["verdict"]) == ("1", "0.1", "best")
    assert float(best["val/acc_mean"]) == pytest.approx(0.91)
    assert (best["best_seed"], best["seconds"]) == ("1", "60.0")
    assert (other["verdict"], other["test"]) == ("worse", "paired t-test by seed")
    assert 0 < float(other["p"]) < 0.05
    assert (none["rank"], none["val/acc_n"], none["val/acc_mean"]) == ("", "0", "")
    assert none["not_finished"] == "1 of 1 failed"


def test_runs_csv_has_a_row_for_each_job(sweep: Path) -> None:
    jobs = list(csv.DictReader(write(sweep)["runs.csv"].splitlines()))
    assert len(jobs) == 7
    (failed,) = (job for job in jobs if job["state"] == "failed")
    assert (failed["optimizer.lr"], failed["best"]) == ("9", "")
    assert failed["error"] == "<b>`x` | a&b</b>"
    assert {job["seed"] for job in jobs} == {"0", "1", "2"}


def test_a_sweep_without_a_result_has_pages_too(tmp_path: Path) -> None:
    fake_job(tmp_path, "seed=0", state="failed", value=None, error="no memory")
    pages = write(tmp_path)
    assert "No job has finished with a result yet: 1 failed." in Checked(pages["report.html"]).shown
    assert "no memory" in pages["report.md"]
