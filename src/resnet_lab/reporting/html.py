"""Pages from the templates in `templates/`, each one file: style and figures are inside."""

import base64
import io
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_ROWS = 20  # of a table; the others are folded
CSS_DPI = 96  # pixels of a page to the inch


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("resnet_lab.reporting"),
        # Names and messages may come from elsewhere. Markdown is escaped where it is put together.
        autoescape=lambda name: not str(name).endswith(".md"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["shown_rows"] = SHOWN_ROWS
    return environment


def render(template: str, **values: Any) -> str:
    """Render a template; every text is escaped but `Markup`."""
    return _templates().get_template(template).render(values)


def svg(figure: "Figure", title: str) -> Markup:
    """Return a figure as an SVG element that is at most as wide as the figure."""
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    drawing = text.getvalue()
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'<g id="[^"]*">', "<g>", drawing)  # ids would repeat in the next figure
    start = re.search(r'<svg[^>]*?(viewBox="[^"]*")[^>]*>', drawing)
    assert start is not None
    head = Markup('<svg role="img" aria-label="{}" style="max-width:{:.0f}px" {}>').format(
        title, CSS_DPI * figure.get_figwidth(), Markup(start[1])
    )
    return head + Markup(drawing[start.end() :])


def png(figure: "Figure", title: str) -> Markup:
    """Return a figure of images as an image element, on white as it was drawn."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=160)
    return Markup(
        '<img alt="{}" style="max-width:{:.0f}px" src="data:image/png;base64,{}">'
    ).format(title, CSS_DPI * figure.get_figwidth(), base64.b64encode(data.getvalue()).decode())
