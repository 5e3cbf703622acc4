"""Type random command lines: each must succeed, or fail with one clear line."""

import re
import shutil
from collections import Counter
from pathlib import Path

from hydra import compose, initialize_config_dir
from hypothesis import HealthCheck, Phase, given, reject, seed, settings
from hypothesis import strategies as st

from benchmarks.faults import forked
from benchmarks.faults.kills import TINY, train
from resnet_lab.core.config import CONF, flat
from resnet_lab.sweeps.resolvers import register_resolvers

VALUES = (
    "0", "1", "-1", "2", "3", "0.5", "1e9", "2**32", "nan", "inf", "true", "false", "null", "''",
    "x", "[]", "[1,2]", "[a]", "{}", "{a:1}", "???", "${seed}", "${nope}", "${oc.env:HOME}",
    "range(3)", "1,2", "a,b", "glob(*)", "choice(1,2)", "interval(0,1)", "cifar10",
    "föö bär", "'a b'", "../up", "$(x)", "[red]x[/red]", "\x1b[31m", "日本", "auto", "best",
)  # fmt: skip
HARMLESS = ("log_dir", "run_dir", "sweep_dir", "data_dir", "hydra.mode", "hydra.run", "hydra.sweep")


def words() -> st.SearchStrategy[str]:
    """Draw one word of a command line: a key or a group, a little misspelt, with some value."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        keys = [key for key in flat(compose("train")) if key and not key.startswith(HARMLESS)]
    nodes = {".".join(key.split(".")[:-1]) for key in keys} - {""}
    groups = sorted({str(path.parent.relative_to(CONF)) for path in CONF.glob("*/**/*.yaml")})
    options = sorted({path.stem for path in CONF.glob("*/**/*.yaml")})
    key = st.sampled_from(keys) | st.sampled_from(sorted(nodes)) | st.sampled_from(groups)
    value = (
        st.sampled_from(VALUES)
        | st.sampled_from(options)
        | st.integers().map(str)
        | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
    )
    misspelt = key.flatmap(
        lambda name: st.sampled_from([name[:-1], name + "s", name.upper(), name.replace(".", "/")])
    )
    name = st.one_of(key, key, key, misspelt)
    prefix = st.sampled_from(["", "", "", "", "+", "++", "~"])
    plain = st.tuples(prefix, name, value).map(lambda parts: f"{parts[0]}{parts[1]}={parts[2]}")
    odd = st.sampled_from(
        ["-m", "--resume", "--cfg", "=", "seed", "seed=", "=1", "model.", "~", "--"]
    )
    return st.integers(0, 19).flatmap(lambda draw: plain if draw else odd)


def random_command_lines(folder: Path, count: int, start: int) -> tuple[Counter[str], list[str]]:
    """Try that many command lines; a third of them really train, the others only check.

    Every line and what it said lies in `folder / "said.txt"` afterwards.

    Returns:
        Counts by outcome, and each unclear command line with what it printed.
    """
    counts: Counter[str] = Counter()
    notes: list[str] = []
    said: list[str] = []
    seen: set[tuple[str, ...]] = set()
    folder.mkdir(parents=True)

    @seed(start)
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(words(), min_size=1, max_size=2), st.sampled_from([True, True, False]))
    def attempt(line: list[str], checks_only: bool) -> None:
        if tuple(line) in seen:
            reject()
        seen.add(tuple(line))
        logs = folder / "logs"
        fixed = [*TINY, "trainer.limit_test_batches=1", "callbacks.summary=null"]
        arguments = [*fixed, *line, f"log_dir={logs}", f"preflight={str(checks_only).lower()}"]
        counts["tried"] += 1
        try:
            ended = forked.run(train(*arguments), folder / "output", limit=120)
        except TimeoutError as error:
            counts["unclear"] += 1
            notes.append(f"{line}: {error}")
            return
        outcome = judge(ended, line)
        counts[outcome] += 1
        said.append(f"{outcome}: {line}: {ended.errors.strip() or ended.output.strip()[-60:]!r}")
        if outcome == "unclear":
            notes.append(f"{line} exit {ended.code}: {ended.errors[-400:]!r}")
            print(f"  {notes[-1]}", flush=True)
        shutil.rmtree(logs, ignore_errors=True)

    attempt()
    (folder / "said.txt").write_text("\n".join(said) + "\n")
    return counts, notes


def judge(ended: forked.Ended, line: list[str]) -> str:
    """Say whether a command line succeeded, was refused in one clear line, or was unclear.

    A clear line is one of printable characters, names something that was typed, and is not in the
    words of a Python exception.
    """
    if ended.code == 0:
        return "success"
    lines = ended.errors.strip().splitlines()
    if ended.code == 2 and lines and lines[0].startswith("usage: "):  # argparse's own
        return "refused"
    typed = {part for word in line for part in re.split(r"[=./@:]+", word.lstrip("+~")) if part}
    clear = (
        ended.code == 1
        and len(lines) == 1
        and lines[0].startswith("error: ")
        and lines[0].isprintable()
        and not re.search(r"\w(Error|Exception)\b", lines[0])
        and (not typed or any(part in lines[0] for part in typed))
    )
    return "refused" if clear else "unclear"
