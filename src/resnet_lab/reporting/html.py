"""HTML pages that need nothing but themselves: no request, no script; for print, phone and dark."""

import base64
import html
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d1f23; --soft: #626973; --line: #e2e4e8;
  --tint: #f1f6fa; --accent: #00639b; --bad: #b3400a }
@media (prefers-color-scheme: dark) { :root { --paper: #1a1a1a; --ink: #e8e8e6; --soft: #a2a7ae;
  --line: #34373b; --tint: #20292f; --accent: #6bb8e6; --bad: #f0905a } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif }
main { max-width: 76rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .8rem; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 2.8rem 0 .9rem }
h3 { font-size: 1rem; margin: 0 0 .2rem }
.pills { display: flex; flex-wrap: wrap; gap: .4rem; margin: 0 0 1.4rem; padding: 0;
  list-style: none }
.pills li { border: 1px solid var(--line); border-radius: 1rem; padding: .05rem .7rem;
  font-size: .85rem }
.pills .failed { color: var(--bad); border-color: currentColor }
.lead { font-size: 1.1rem; line-height: 1.5; max-width: 46rem; margin: 0 0 1.6rem;
  padding-left: 1rem; border-left: 3px solid var(--accent) }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .3rem 1.2rem; margin: 0;
  font-size: .9rem }
dt { color: var(--soft) }
dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap }
dl.errors { grid-template-columns: minmax(0, 1fr); gap: .1rem }
dl.errors dt { color: var(--bad); overflow-wrap: anywhere }
dl.errors dd { color: var(--soft); margin-bottom: .6rem }
.scroll { overflow: auto; max-height: 85vh; border: 1px solid var(--line); border-radius: .5rem }
table { border-collapse: collapse; width: 100%; font-size: .85rem;
  font-variant-numeric: tabular-nums }
th, td { padding: .42rem .65rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line) }
tr:last-child td { border-bottom: 0 }
th { position: sticky; top: 0; background: var(--paper); color: var(--soft); font-weight: 600;
  font-size: .8rem; box-shadow: 0 1px var(--line) }
.word { text-align: left }
.wrapped td { white-space: normal; overflow-wrap: anywhere; min-width: 8rem }
.strong td { background: var(--tint); font-weight: 600 }
.notes { margin: .8rem 0 0; padding-left: 1.1rem; color: var(--soft); font-size: .85rem;
  max-width: 52rem }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(28rem, 100%), 1fr));
  gap: 2.4rem 2.2rem; align-items: start }
.wide { grid-template-columns: minmax(0, 1fr) }
figure { margin: 0 }
figcaption { font-size: .85rem; color: var(--soft); margin-top: .5rem; max-width: 40rem }
figure svg, figure img { display: block; width: 100%; height: auto }
figure img { border-radius: .5rem }
footer { margin-top: 3.5rem; color: var(--soft); font-size: .8rem }
@media (prefers-color-scheme: dark) { figure svg { filter: invert(.9) hue-rotate(180deg) } }
@media (max-width: 34rem) { main { padding: 1.4rem .9rem 3rem } dl:not(.errors) {
  grid-template-columns: minmax(0, 1fr); gap: 0 } dl:not(.errors) dd { margin-bottom: .5rem } }
@media print { .scroll { max-height: none } figure { break-inside: avoid } }
"""


def document(title: str, heading: str, parts: Sequence[str], footer: str) -> str:
    """Return a whole page of parts that are HTML already."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{html.escape(heading)}</h1>
{_lines(parts)}
<footer>{html.escape(footer)}</footer>
</main>
</body>
</html>
"""


def heading(text: str) -> str:
    """Return the heading of a section."""
    return f"<h2>{html.escape(text)}</h2>"


def lead(text: str) -> str:
    """Return the paragraph that says it all."""
    return f'<p class="lead">{html.escape(text)}</p>'


def pills(counts: Mapping[str, int]) -> str:
    """Return counts by what they count."""
    items = (
        f'<li class="{html.escape(name)}">{count} {html.escape(name)}</li>'
        for name, count in counts.items()
    )
    return f'<ul class="pills">{"".join(items)}</ul>'


def definitions(rows: Sequence[tuple[str, str]], kind: str = "facts") -> str:
    """Return names and what they stand for."""
    items = (f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in rows)
    return f'<dl class="{kind}">{_lines(items)}</dl>'


def bullets(lines: Sequence[str]) -> str:
    """Return remarks in small print."""
    items = (f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<ul class="notes">{_lines(items)}</ul>' if lines else ""


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    words: Collection[str] = (),
    strong: Collection[int] = (),
    wrapped: bool = False,
) -> str:
    """Return a table that scrolls by itself where it is too large.

    Args:
        columns: their names.
        rows: of text.
        words: columns that stand to the left.
        strong: numbers of rows to stress.
        wrapped: whether long words may break.
    """

    def row(tag: str, cells: Sequence[str]) -> str:
        marks = (' class="word"' if name in words else "" for name in columns)
        return "".join(
            f"<{tag}{mark}>{html.escape(cell)}</{tag}>"
            for mark, cell in zip(marks, cells, strict=True)
        )

    body = (
        f"<tr{' class=strong' if number in strong else ''}>{row('td', cells)}</tr>"
        for number, cells in enumerate(rows)
    )
    head = f"<thead><tr>{row('th', columns)}</tr></thead>"
    kind = ' class="wrapped"' if wrapped else ""
    return f'<div class="scroll"><table{kind}>{head}<tbody>{_lines(body)}</tbody></table></div>'


def figures(plots: "Sequence[tuple[str, str, Figure]]", *, wide: bool = False) -> str:
    """Return plots with title and caption, drawn inside the page; wide ones one below the other."""
    items = (
        f"<figure><h3>{html.escape(title)}</h3>{svg(figure, title)}"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for title, caption, figure in plots
    )
    return f'<div class="figures{" wide" * wide}">{_lines(items)}</div>'


def svg(figure: "Figure", title: str) -> str:
    """Return a figure as SVG that takes the width it is given, up to its own."""
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'<g id="[^"]*">', "<g>", drawing)  # several figures would repeat them
    width = figure.get_figwidth() * 96
    name = f'role="img" aria-label="{html.escape(title)}" style="max-width:{width:.0f}px"'
    head = re.compile(r'<svg[^>]*?(viewBox="[^"]*")[^>]*>')
    # A function: in a replacement text, a backslash of the title would be an instruction.
    return head.sub(lambda found: f"<svg {name} {found[1]}>", drawing, count=1)


def photographs(title: str, caption: str, figure: "Figure") -> str:
    """Return a figure of images as one image inside the page, on white as it was drawn."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=160)
    encoded = base64.b64encode(data.getvalue()).decode()
    width = figure.get_figwidth() * 96
    return (
        f'<figure><img alt="{html.escape(title)}" style="max-width:{width:.0f}px" '
        f'src="data:image/png;base64,{encoded}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _lines(parts: Iterable[str]) -> str:
    return "\n".join(parts)
