"""Every kind of page in a real browser: no overflow, nothing on the console, no request."""

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from resnet_lab import analyse, compare, predict, report, reproduce
from resnet_lab.data.sources import Digits
from resnet_lab.train import train
from tests.helpers import TINY, compose
from tests.reporting.fakes import fake_job, fake_sweep

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), ""
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BROWSER, reason="neither chromium nor chrome is installed"),
]
WIDTHS = (360, 1400)  # pixels: a phone, a desktop
KINDS = (
    "report", "report_search", "compare", "analysis", "analysis_multilabel", "analysis_regression",
    "finding", "gallery",
)  # fmt: skip


class Chromium:
    """A browser without a window, told what to do by its DevTools protocol.

    It reads commands from descriptor 3 and writes answers and events to descriptor 4, each a JSON
    object that ends with a zero byte.

    Args:
        profile: directory of its own.
    """

    def __init__(self, profile: Path) -> None:
        pairs = [[fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in os.pipe()] for _ in range(2)]
        (commands, self.commands), (self.answers, answers) = pairs

        def descriptors() -> None:
            os.dup2(commands, 3)
            os.dup2(answers, 4)

        options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe")
        self.process = subprocess.Popen(
            [BROWSER, *options, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=descriptors, pass_fds=(3, 4), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        self.read, self.sent, self.events = b"", 0, []  # type: ignore[var-annotated]
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    session: dict[str, str] = {}  # noqa: RUF012 # of the page, once there is one

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, and return its result."""
        self.sent += 1
        message = {"id": self.sent, "method": method, "params": params, **self.session}
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            found = self.receive()
            if found.get("id") == self.sent:
                assert "error" not in found, found
                return found["result"]

    def receive(self) -> dict[str, Any]:
        """Wait for the next message; keep it if it is an event."""
        while b"\0" not in self.read:
            part = os.read(self.answers, 1 << 16)
            assert part, "the browser has ended"
            self.read += part
        message, _, self.read = self.read.partition(b"\0")
        found = json.loads(message)
        if "method" in found:
            self.events.append(found)
        return found

    def problems(self, page: Path, width: int) -> list[str]:
        """Open a page, and return what is wrong with it at a width."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
            mobile=False,
        )  # fmt: skip
        self.events.clear()
        self.send("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.receive()
        root = "document.documentElement"
        measured = f"{root}.scrollWidth - {root}.clientWidth"
        beyond = self.send("Runtime.evaluate", expression=measured)["result"]["value"]
        found = [f"{beyond} pixels wider than {width}"] if beyond > 0 else []
        for event in self.events:
            params = event["params"]
            if event["method"] == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if url != page.as_uri() and not url.startswith("data:"):
                    found.append(f"requests {url}")
            elif event["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                found.append(f"on the console: {json.dumps(params)[:300]}")
            elif event["method"] == "Log.entryAdded":
                found.append(f"on the console: {params['entry']['text']}")
        return found

    def close(self) -> None:
        """End the browser."""
        with suppress(OSError, AssertionError):
            self.session = {}
            self.send("Browser.close")
        self.process.wait(30)
        os.close(self.commands)
        os.close(self.answers)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    chromium = Chromium(tmp_path_factory.mktemp("profile"))
    yield chromium
    chromium.close()


@pytest.fixture(scope="module")
def pages(_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind, with what is long in it, by kind."""
    root = tmp_path_factory.mktemp("pages")
    curve = [0.3, 0.6, 0.7]
    swept = {
        (f"optimizer.lr={lr}", f"model.a_rather_long_name_of_an_option={kind}"): [lr, lr + 0.02]
        for lr in (0.1, 0.2, 0.3)
        for kind in ("a_word_that_takes_much_room", "another")
    }
    fake_sweep(root / "sweep", swept, curve=curve)
    fake_job(
        root / "sweep", "optimizer.lr=9", "seed=0", state="failed", value=None, error="x" * 300
    )
    entries = []
    for number in range(24):
        overrides = [f"optimizer.lr={0.01 * (number + 1)}", f"model.depth={8 + 6 * (number % 4)}"]
        job = fake_job(root / "search", *overrides, value=0.5 + number / 50, curve=curve)
        entries.append({"directory": job.name, "overrides": overrides})
    (root / "search/sweep.json").write_text(json.dumps({"search": True, "jobs": entries}))
    report.main([str(root / "sweep")])
    report.main([str(root / "search")])

    images = Digits().read("test")
    (root / "photos").mkdir()
    rows = {"multilabel": ["path,even,above_5"], "regression": ["path,digit"]}
    for number, (pixels, digit) in enumerate(
        zip(images.pixels, images.labels.tolist(), strict=True)
    ):
        name = f"{number}.png"
        Image.fromarray(pixels[..., 0].numpy()).save(root / "photos" / name)
        rows["multilabel"].append(f"{name},{int(digit % 2 == 0)},{int(digit > 5)}")
        rows["regression"].append(f"{name},{digit + 0.5}")
    for task, lines in rows.items():
        (root / "photos" / f"{task}.csv").write_text("\n".join(lines))
        given = ["data=table", f"data.file={root}/photos/{task}.csv", f"task={task}"]
        given += ["data.source.numbers=true"] * (task == "regression")
        train(compose(*TINY, *given), root / task)
        analyse.main([str(root / task)])
    for name in ("first", "second" + "_long" * 20):
        shutil.copytree(_trained, root / name)
    (root / "photos/broken.png").write_bytes(b"no picture")
    first, second = str(root / "first"), str(root / f"second{'_long' * 20}")
    analyse.main([first])
    compare.main([first, second, "--out", str(root)])
    reproduce.main(["paths", first, "--images", "8"])
    with pytest.raises(SystemExit):  # one picture is broken
        predict.main([first, str(root / "photos"), "--gallery", str(root / "gallery.html")])
    return {
        "report": root / "sweep/report.html",
        "report_search": root / "search/report.html",
        "compare": root / "compare.html",
        "analysis": root / "first/analysis.html",
        "analysis_multilabel": root / "multilabel/analysis.html",
        "analysis_regression": root / "regression/analysis.html",
        "finding": root / "first/findings/paths.html",
        "gallery": root / "gallery.html",
    }


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_fits_and_asks_for_nothing(
    kind: str, width: int, pages: dict[str, Path], browser: Chromium
) -> None:
    assert browser.problems(pages[kind], width) == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<table style="width: 500px"><tr><td>wide</td></tr></table>', "pixels wider than 360"),
        ("<script>console.error('wrong')</script>", "on the console"),
        ("<script>nothing.there</script>", "on the console"),
        ('<img src="http://127.0.0.1:9/x.png">', "requests http://127.0.0.1:9/x.png"),
        ('<link rel="stylesheet" href="other.css">', "requests file:"),
    ],
)
def test_what_is_wrong_with_a_page_is_seen(
    body: str, problem: str, browser: Chromium, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><title>wrong</title>{body}")
    assert problem in " ".join(browser.problems(page, 360))
