"""Pictures for TensorBoard, drawn in milliseconds: images with captions, a confusion matrix.

Matplotlib takes a tenth of a second for the same, which a short run would feel.
"""

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

FONT = 17  # pixels; TensorBoard shows pictures at half their size
LINE = 21  # height of a line of text
SIDE = 96  # pixels of an image in a grid, at least
CELL = 48  # pixels of a cell of a confusion matrix with numbers
NUMBERED = 20  # classes; with more, the cells of a confusion matrix have no numbers


def captioned_grid(images: Tensor, captions: Sequence[str], columns: int) -> Tensor:
    """Draw images, float32 [N, C, H, W] in [0, 1], each above its caption of a line or two.

    Returns uint8 [3, height, width].
    """
    scale = max(1, -(-SIDE // min(images.shape[2:])))  # whole, so that pixels stay squares
    height, width = (scale * side for side in images.shape[2:])
    lines = max(caption.count("\n") + 1 for caption in captions)
    cell_height, cell_width = height + lines * LINE + 4, width + 4
    rows = -(-len(captions) // columns)
    sheet = Image.new("RGB", (columns * cell_width, rows * cell_height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = number % columns * cell_width + 2, number // columns * cell_height + 2
        picture = to_pil_image(image.clamp(0, 1)).resize((width, height), Image.Resampling.NEAREST)
        sheet.paste(picture, (left, top))
        shown = "\n".join(_fitting(line, font, width) for line in caption.split("\n"))
        draw.multiline_text((left, top + height), shown, "black", font, spacing=2)
    drawn: Tensor = pil_to_tensor(sheet)
    return drawn


def confusion_picture(counts: Tensor, classes: Sequence[str]) -> Tensor:
    """Draw a confusion matrix, int64 [true, predicted]: each row in percent of its images.

    Returns uint8 [3, height, width].
    """
    number = len(classes)
    share = counts / counts.sum(1, keepdim=True).clamp(min=1)
    numbered = number <= NUMBERED
    cell = CELL if numbered else max(6, 800 // number)
    font = ImageFont.load_default(FONT)
    margin = 120 if numbered else 0
    sheet = Image.new("RGB", (margin + cell * number, cell * number + margin // 5), "white")
    draw = ImageDraw.Draw(sheet)
    for row, column in torch.cartesian_prod(torch.arange(number), torch.arange(number)).tolist():
        value = float(share[row, column])
        left, top = margin + column * cell, row * cell
        depth = value**0.5  # so that few mistakes are visible beside the diagonal
        colour = tuple(int(255 - depth * (255 - end)) for end in (8, 48, 107))
        draw.rectangle((left, top, left + cell - 2, top + cell - 2), colour)
        if numbered and value:
            text = f"{100 * value:.0f}" if value >= 0.0995 else f"{100 * value:.1f}"
            place = (left + cell / 2, top + cell / 2)
            draw.text(place, text, "white" if depth > 0.5 else "black", font, anchor="mm")
    if numbered:
        for index, name in enumerate(classes):
            middle = index * cell + cell / 2
            draw.text((margin - 6, middle), _fitting(name, font, 110), "black", font, anchor="rm")
            place = (margin + middle, cell * number + 4)
            draw.text(place, _fitting(name, font, cell), "black", font, anchor="ma")
    drawn: Tensor = pil_to_tensor(sheet)
    return drawn


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Shorten a text to a width in pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."
