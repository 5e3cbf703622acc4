"""Write docs/findings.md from the results in docs/findings/: judged, drawn and told anew.

python docs/make_findings.py                 write the page and its pictures anew
python docs/make_findings.py add FILE...     first take the JSON of `resnet-reproduce` in
"""

import json
import re
import shutil
import sys
from pathlib import Path

from resnet_lab.core.text import markdown
from resnet_lab.findings.finding import NAMES, stated
from resnet_lab.findings.report import COLUMNS, rows
from resnet_lab.reproduce import finding_of

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS / "findings"
BEGIN, END = "<!-- measured: written by docs/make_findings.py -->\n", "<!-- /measured -->\n"


def section(name: str) -> str:
    """Return the section of a finding, and draw its pictures."""
    finding = finding_of(name)
    result = json.loads((RESULTS / f"{name}.json").read_text())
    checks = finding.judge(result["measured"])
    parts = [
        f"## {finding.TITLE}",
        f"**{stated(checks)}.** {finding.PAPER}.",
        markdown(finding.EXPLAINED),
    ]
    pictures: dict[str, list[str]] = {}  # by caption
    for plot in finding.draw(result["measured"]):
        file = f"{name}_{re.sub(r'[^a-z0-9]+', '_', plot.title.lower()).strip('_')}.png"
        plot.figure.savefig(RESULTS / file, format="png")
        pictures.setdefault(plot.caption, []).append(f"![{plot.title}](findings/{file})")
    parts += [f"{' '.join(shown)}\n\n{caption}" for caption, shown in pictures.items()]
    table = [COLUMNS, [":---"] * len(COLUMNS), *rows(checks)]
    parts.append("\n".join(f"| {' | '.join(row)} |" for row in table))
    given = f"{result['images']} images of each split" if result["subjects"] else "no images"
    if any("runs" in subject for subject in result["subjects"]):
        given = f"{sum(subject['runs'] for subject in result['subjects'])} runs"
    torch = f"torch {result['versions']['torch']}"
    if "runs" not in given:
        given += f", {result['draws']} draws, seed {result['seed']}"
    parts.append(f"{given}; {result['device']}, {torch}.")
    command = result["command"].replace(" --weights", " \\\n  --weights")
    parts.append(f"```bash\n{command}\n```")
    return "\n\n".join(parts)


def main(arguments: list[str]) -> None:
    """Run the command line."""
    RESULTS.mkdir(exist_ok=True)
    for path in arguments[1:] if arguments[:1] == ["add"] else []:
        shutil.copyfile(path, RESULTS / Path(path).name)
    page = DOCS / "findings.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    sections = [section(name) for name in NAMES if (RESULTS / f"{name}.json").is_file()]
    page.write_text(before + BEGIN + "\n" + "\n\n".join(sections) + "\n\n" + END + after)


if __name__ == "__main__":
    main(sys.argv[1:])
