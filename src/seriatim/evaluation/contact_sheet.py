"""Sheets of many images as one PNG: the images of a data set with outlined objects, and the masks of a model in the order found."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont, ImageOps

from seriatim.core.instances import Instances
from seriatim.data.encoding import encode_png
from seriatim.data.samples import Sample
from seriatim.results.drawing import Colour, draw_outlines, to_rgb

CELL = 240
"""Side of the square of each image on a contact sheet, in pixels."""

TRUTH, FOUND = (90, 200, 90), (255, 120, 40)
"""Tints of the masks of a sequence."""

_CAPTION = 30
_BACKGROUND = (245, 245, 245)


class ContactSheet:
    """Takes some samples of a data set as they are read, spread evenly over it, and draws them."""

    def __init__(self, num_images: int, max_images: int = 24, columns: int = 6) -> None:
        """
        Args:
            num_images: of the data set.
            max_images: largest number of images on the sheet.
            columns: images side by side.
        """
        places = np.linspace(0, max(num_images - 1, 0), min(max_images, num_images))
        self.wanted = set(places.round().astype(int).tolist())
        self.columns = columns
        self.cells: list[Image.Image] = []

    def add(self, index: int, sample: Sample) -> None:
        """Take a sample, if its number is one of those wanted."""
        if index in self.wanted:
            self.cells.append(_cell(sample))

    def encode(self) -> bytes:
        """The sheet, as PNG; without images it is empty."""
        cells = self.cells or [Image.new("RGB", (CELL, CELL + _CAPTION), _BACKGROUND)]
        return _sheet([cells[start : start + self.columns] for start in range(0, len(cells), self.columns)], gap=8)


def sequence_sheet(found: Iterable[tuple[Sample, Instances]], num_steps: int = 12, height: int = 160) -> bytes:
    """Samples, a row each: the image, the truth, then the masks in the order found, as PNG.

    Args:
        found: samples, each with the objects that a model found in it.
        num_steps: masks of each image.
        height: of each image on the sheet, in pixels.
    """
    rows = []
    for sample, instances in found:
        pixels = to_rgb(sample.image)
        tiles = [pixels, _tinted(pixels, sample.labels > 0, TRUTH)]
        for step in range(num_steps):
            mask = np.asarray(instances[step : step + 1].masks().any(axis=0))
            tiles.append(_tinted(pixels, mask, FOUND))
        width = max(1, round(pixels.shape[1] * height / pixels.shape[0]))
        rows.append([Image.fromarray(tile).resize((width, height)) for tile in tiles])
    return _sheet(rows, gap=4)


def _sheet(rows: Sequence[Sequence[Image.Image]], gap: int) -> bytes:
    """The images of every row side by side, with a gap around each, as PNG."""
    width = max((sum(image.width + gap for image in row) for row in rows), default=0)
    height = sum(max(image.height for image in row) + gap for row in rows)
    sheet = Image.new("RGB", (width + gap, height + gap), _BACKGROUND)
    top = gap
    for row in rows:
        left = gap
        for image in row:
            sheet.paste(image, (left, top))
            left += image.width + gap
        top += max(image.height for image in row) + gap
    return encode_png(sheet, compress_level=6)


def _tinted(
    pixels: UInt8[np.ndarray, "height width 3"], mask: Bool[np.ndarray, "height width"], colour: Colour
) -> UInt8[np.ndarray, "height width 3"]:
    """The pixels darkened, and tinted where the mask lies."""
    tinted = pixels // 2
    tinted[mask] = tinted[mask] // 2 + np.array(colour, dtype=np.uint8) // 2 + 32
    return tinted


def _cell(sample: Sample) -> Image.Image:
    """The image with outlined objects in a square, above its caption."""
    pixels, objects = to_rgb(sample.image), sample.instances()
    draw_outlines(pixels, objects, max(1, round(1.2 * max(objects.size) / CELL)))
    thumbnail = ImageOps.contain(Image.fromarray(pixels), (CELL, CELL), Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (CELL, CELL + _CAPTION), (255, 255, 255))
    cell.paste(thumbnail, ((CELL - thumbnail.width) // 2, (CELL - thumbnail.height) // 2))
    draw, font = ImageDraw.Draw(cell), ImageFont.load_default(11)
    for line, text in enumerate(_caption(sample, len(objects))):
        draw.text((4, CELL + 2 + 13 * line), text, fill=(30, 30, 30), font=font)
    return cell


def _caption(sample: Sample, num_objects: int) -> Sequence[str]:
    name = sample.name if len(sample.name) <= 36 else f"{sample.name[:20]}...{sample.name[-12:]}"
    height, width = sample.labels.shape
    num_crowds = 0 if sample.crowds is None else len(sample.crowds)
    counted = _counted(num_objects, "object") + (f", {_counted(num_crowds, 'crowd')}" if num_crowds else "")
    return name, f"{counted}, {height} x {width}"


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
