"""Pages from the templates in `templates/`, each one file: style and figures are inside."""

import base64
import io
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from resnet_lab.core.text import markdown, markdown_code

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

SHOWN_ROWS = 20  # of a table; the others are folded
CSS_DPI = 96  # pixels of a page to the inch


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("resnet_lab.reporting"),
        # Names and messages may come from elsewhere. Markdown has filters for that.
        autoescape=lambda name: not str(name).endswith(".md"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["shown_rows"] = SHOWN_ROWS
    environment.filters |= {"text": markdown, "code": markdown_code}
    return environment


def render(template: str, **values: Any) -> str:
    """Render a template; in HTML, every text is escaped but `Markup`."""
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
    return Markup('<img alt="{}" style="max-width:{:.0f}px" src="{}">').format(
        title, CSS_DPI * figure.get_figwidth(), _data_url(data)
    )


def thumbnail(pixels: "NDArray[np.uint8]") -> str:
    """Return an image, uint8 [H, W, C], as a data URL."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(data, "png")
    return _data_url(data)


def _data_url(png: io.BytesIO) -> str:
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
