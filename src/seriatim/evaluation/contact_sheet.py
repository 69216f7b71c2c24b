"""A contact sheet: images of a data set side by side, with the outlines of their objects."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from seriatim.data.samples import Sample
from seriatim.results.overlay import draw_outlines

CELL = 240
"""Side of the square that a image gets, in pixels."""

_CAPTION = 30
_GAP = 8


class ContactSheet:
    """Takes some of the samples of a data set as they are read, spread evenly over it, and draws them."""

    def __init__(self, num_images: int, most: int = 24, columns: int = 6) -> None:
        """
        Args:
            num_images: of the data set.
            most: images on the sheet.
            columns: images side by side.
        """
        self.wanted = set(np.linspace(0, max(num_images - 1, 0), min(most, num_images)).round().astype(int).tolist())
        self.columns = columns
        self.cells: list[Image.Image] = []

    def add(self, index: int, sample: Sample) -> None:
        """Take a sample, if it is one of those that are wanted."""
        if index in self.wanted:
            self.cells.append(_cell(sample))

    def encode(self) -> bytes:
        """The sheet, as PNG; of no images, an empty one."""
        columns = max(1, min(self.columns, len(self.cells)))
        rows = max(1, -(-len(self.cells) // columns))
        width, height = CELL + _GAP, CELL + _CAPTION + _GAP
        sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), (245, 245, 245))
        for number, cell in enumerate(self.cells):
            sheet.paste(cell, (_GAP + number % columns * width, _GAP + number // columns * height))
        file = io.BytesIO()
        sheet.save(file, format="PNG", compress_level=6)
        return file.getvalue()


def _cell(sample: Sample) -> Image.Image:
    pixels = np.clip(np.rint(sample.image * 255), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    objects = sample.instances()
    thumbnail = draw_outlines(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, objects, _thickness(objects.size))
    thumbnail = ImageOps.contain(thumbnail, (CELL, CELL), Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (CELL, CELL + _CAPTION), (255, 255, 255))
    cell.paste(thumbnail, ((CELL - thumbnail.width) // 2, (CELL - thumbnail.height) // 2))
    draw, font = ImageDraw.Draw(cell), ImageFont.load_default(11)
    for line, text in enumerate(_caption(sample, len(objects))):
        draw.text((4, CELL + 2 + 13 * line), text, fill=(30, 30, 30), font=font)
    return cell


def _caption(sample: Sample, count: int) -> Sequence[str]:
    name = sample.name if len(sample.name) <= 36 else f"{sample.name[:20]}...{sample.name[-12:]}"
    height, width = sample.labels.shape
    crowds = 0 if sample.crowds is None else len(sample.crowds)
    counted = _counted(count, "object") + (f", {_counted(crowds, 'crowd')}" if crowds else "")
    return name, f"{counted}, {height} x {width}"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _thickness(size: tuple[int, int]) -> int:
    return max(1, round(1.2 * max(size) / CELL))
