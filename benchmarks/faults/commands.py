"""Try random command lines: each must succeed, or fail with one clear line and leave nothing.

A third has values of the right types, a third has one random word among those, and a third is
random. Some of the first third are refused too, as their values do not go together.
"""

import inspect
import json
import random
import re
import shutil
import socket
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from benchmarks.faults import forked
from benchmarks.faults.kills import TINY, train
from resnet_lab.core.configuration.config import CONF, flat
from resnet_lab.core.configuration.hydra_versions import VERSION_BASE
from resnet_lab.sweeps.resolvers import register_resolvers

WILD = (
    "0", "1", "-1", "2", "3", "0.5", "1e9", "2**32", "nan", "inf", "true", "false", "null", "''",
    "x", "[]", "[1,2]", "[a]", "{}", "{a:1}", "???", "${seed}", "${nope}", "${oc.env:HOME}",
    "range(3)", "1,2", "a,b", "glob(*)", "choice(1,2)", "interval(0,1)", "cifar10",
    "föö bär", "'a b'", "../up", "$(x)", "[red]x[/red]", "\x1b[31m", "日本", "auto", "best",
)  # fmt: skip
WORDS = {
    "monitor": ("val/acc", "val/loss", "val/acc_top5", "train/loss", "train/acc"),
    "test": ("best", "last", "null"),
    "callbacks.checkpoint.keep": ("none", "best", "all"),
    "model.block": ("basic", "bottleneck"),
    "model.shortcut": ("A", "B", "C"),
    "scheduler.interval": ("step", "epoch"),
    "trainer.precision": ("32-true", "64-true", "bf16-true", "bf16-mixed", "16-mixed", "16"),
    "trainer.accelerator": ("cpu", "auto", "gpu"),
    "trainer.profiler": ("simple", "advanced", "pytorch", "null"),
    "trainer.strategy": ("auto", "ddp"),
}  # fmt: skip
# Where things go: what is tried stays below one directory.
PLACES = ("log_dir", "run_dir", "sweep_dir", "data_dir", "hydra.mode", "hydra.run", "hydra.sweep")
FIXED = [word.partition("=")[0] for word in TINY]  # typed too
ODD = ("-m", "--resume", "--cfg", "=", "seed", "seed=", "=1", "model.", "~", "--")
LETTERS = (0x20, 0x7F), (0, 0x20), (0xA0, 0x250), (0x4E00, 0x4F00), (0x1F600, 0x1F650)

DIVERGED = "the training diverged; "

# What only a programmer of Python understands.
INTERNAL = re.compile(
    r"\w(Error|Exception)\b|instances? of '|NoneType|object has no attribute|not subscriptable|"
    r"__\w+__|(unexpected keyword|positional) argument|object is not|is not callable|"
    r"<[\w.]+( object)? at|<class|<\w+\.\w+: \d+>|\bself\b"
)


class Typist:
    """Draw random command lines."""

    def __init__(self, draw: random.Random) -> None:
        from lightning import Trainer

        self.draw = draw
        register_resolvers()
        with initialize_config_dir(str(CONF), **VERSION_BASE):
            values = flat(compose("train"))
        self.values = {
            key: value for key, value in values.items() if key and not key.startswith(PLACES)
        }
        self.options: dict[str, list[str]] = {}
        for path in CONF.glob("*/**/*.yaml"):
            self.options.setdefault(str(path.parent.relative_to(CONF)), []).append(path.stem)
        self.more = {
            f"trainer.{name}": parameter.default
            for name, parameter in inspect.signature(Trainer).parameters.items()
            if f"trainer.{name}" not in self.values
        }

    def line(self) -> list[str]:
        """Return one to three words; see the top of this file."""
        kind = self.draw.choice(("sound", "near", "wild"))
        count = self.draw.randint(1, 3)
        if kind == "wild":
            return [self.wild() for _ in range(min(count, 2))]
        words = [self.sound() for _ in range(count)]
        if kind == "near":
            words.insert(self.draw.randint(0, count), self.wild())
        return words

    def sound(self) -> str:
        """Return a word whose value is of the key's own type, or a choice that there is."""
        which = self.draw.random()
        if which < 0.25:
            group = self.draw.choice(sorted(self.options))
            chosen = self.draw.choice(self.options[group])
            several = group in ("augment", "callbacks") and self.draw.random() < 0.5
            return f"{group}=[{chosen}]" if several else f"{group}={chosen}"
        if which < 0.4:
            key = self.draw.choice(sorted(self.more))
            return f"+{key}={self._like(key, self.more[key])}"
        key = self.draw.choice(sorted(self.values))
        return f"{key}={self._like(key, self.values[key])}"

    def _like(self, key: str, value: Any) -> str:
        if key in WORDS:
            return self.draw.choice(WORDS[key])
        if isinstance(value, bool):
            return self.draw.choice(("true", "false"))
        if isinstance(value, int):
            return str(self.draw.choice((0, 1, 2, 3, 4, 5, 8, 14, 16, 32, -1, value, 2 * value)))
        if isinstance(value, float):
            return str(self.draw.choice((0.0, 1e-3, 0.1, 0.3, 0.5, 1.0, 1.5, -0.1, value, 1e6)))
        if value is None:
            return self.draw.choice(("null", "1", "2", "0.5", "true", "x"))
        if isinstance(value, list):
            return str([round(self.draw.random(), 2) for _ in value])
        return str(value)

    def wild(self) -> str:
        """Return a key or a group, at times a little misspelt, with some value; or an odd word."""
        if self.draw.random() < 0.07:
            return self.draw.choice(ODD)
        nodes = {key.rpartition(".")[0] for key in self.values} - {""}
        names = self.draw.choice((self.values, self.values, nodes, self.options))
        name = self.draw.choice(sorted(names))
        if self.draw.random() < 0.25:
            misspelt = name[:-1], name + "s", name.upper(), name.replace(".", "/"), name.swapcase()
            name = self.draw.choice(misspelt)
        options = [option for group in self.options.values() for option in group]
        number = str(self.draw.randint(-(10 ** self.draw.randint(1, 40)), 10**20))
        wild, other = self.draw.choice(WILD), self.draw.choice(WILD)
        value = self.draw.choice(
            (wild, other, self.draw.choice(sorted(options)), number, self._text())
        )
        return f"{self.draw.choice(('', '', '', '+', '++', '~'))}{name}={value}"

    def _text(self) -> str:
        ranges = [self.draw.choice(LETTERS) for _ in range(self.draw.randint(0, 8))]
        return "".join(chr(max(1, self.draw.randrange(*ends))) for ends in ranges)


def random_command_lines(folder: Path, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Try that many command lines; most of them really train, the others only check.

    Every line and what it printed is written to `folder / "said.txt"`.

    Returns:
        Counts by outcome, and each unclear command line with what it printed.
    """
    counts: Counter[str] = Counter()
    notes: list[str] = []
    folder.mkdir(parents=True)
    draw = random.Random(seed)
    typist = Typist(draw)
    with (folder / "said.txt").open("w", buffering=1) as said:
        for _ in range(count):
            line = typist.line()
            logs = folder / "logs"
            checks = draw.random() < 1 / 4
            tiny = [word for word in TINY if word != "model.depth=8" or not _chooses_model(line)]
            fixed = [*tiny, "trainer.limit_test_batches=1", "callbacks.summary=null"]
            places = [f"log_dir={logs}", f"data_dir={folder / 'data'}"]
            arguments = [*fixed, *line, *places, f"preflight={str(checks).lower()}"]
            counts["tried"] += 1
            try:
                ended = forked.run(alone(train(*arguments)), folder / "output", limit=300)
            except TimeoutError as error:
                outcome, shown = "unclear", str(error)
            else:
                outcome = judge(ended, line, logs)
                shown = ended.errors.strip() or ended.output.strip()[-60:]
            counts[outcome] += 1
            said.write(f"{outcome}: {line}: {shown!r}\n")
            if outcome == "unclear":
                notes.append(f"{line}: {shown[-400:]!r}, left {left_behind(logs)}")
                print(f"  {notes[-1]}", flush=True)
            shutil.rmtree(logs, ignore_errors=True)
    return counts, notes


def _chooses_model(line: list[str]) -> bool:
    return any(word.lstrip("+").startswith(("model=", "experiment=")) for word in line)


def alone(function: Callable[[], None]) -> Callable[[], None]:
    """Return the function without a network: `data=cifar10` would download."""

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        here = ("127.0.0.1", "::1", "localhost")
        to = arguments[1] if event == "socket.connect" else None
        if isinstance(to, tuple) and to[0] not in here:
            raise OSError("no network here")
        if event == "socket.getaddrinfo" and arguments[0] not in here:
            raise socket.gaierror(socket.EAI_FAIL, "no network here")

    def call() -> None:
        sys.addaudithook(refuse)
        function()

    return call


def left_behind(logs: Path) -> list[str]:
    """Return what a refused command may not leave: runs and sweeps in which nothing was trained."""
    found = []
    for directory in [*logs.glob("runs/*"), *logs.glob("sweeps/*/*/")]:
        try:
            state = json.loads((directory / "status.json").read_text())["state"]
        except (OSError, ValueError, KeyError):
            state = "no state"
        if state != "failed":
            found.append(f"{directory.relative_to(logs)}: {state}")
    return found


def judge(ended: forked.Ended, line: list[str], logs: Path) -> str:
    """Say whether a command line succeeded, diverged, was refused clearly, or was unclear.

    A clear line is one of printable characters, names a key that was typed, or a value, has no
    internals of Python, and leaves no run behind that did not fail in training.
    """
    if ended.code == 0:
        return "success"
    lines = ended.errors.strip().splitlines()
    if ended.code == 2 and lines and lines[0].startswith("usage: "):  # argparse's own
        return "refused"
    if ended.code == 1 and len(lines) == 1 and DIVERGED in lines[0]:
        return "diverged"  # that is known after training only, and of no single key
    clear = (
        ended.code == 1
        and len(lines) == 1
        and lines[0].startswith("error: ")
        and lines[0].isprintable()
        and not INTERNAL.search(lines[0])
        and any(_names(lines[0], word) for word in (*line, *FIXED, f"data_dir={logs.parent}"))
        and not left_behind(logs)
    )
    return "refused" if clear else "unclear"


def _names(text: str, word: str) -> bool:
    key, _, value = word.lstrip("+~").partition("=")
    last = re.split(r"[./@]", key)[-1]
    first = f"error: {key.partition('.')[0]}: no such key"
    parts = (word, last, first, value if len(value) > 2 else "")
    return any(part and part in text for part in parts)
