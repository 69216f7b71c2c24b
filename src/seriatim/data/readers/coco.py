"""Kind `coco:FILE.json`: images with polygons or run-length codes of overlapping objects, as COCO's instances.

Opening reads the file and checks every annotation without drawing it; what is wrong is left out and listed in `problems` (see
`coco_annotations` for what exactly), or raised where the source is opened strictly. Drawing happens when a sample is read, and only then can two
more problems come to light and be listed: polygons that cover no pixel, and objects that smaller ones hide.

Of a pixel that several objects cover the SMALLEST object (by the area of its whole mask) gets the label, of equal ones the earlier in the file: what
is small lies in front far more often than behind. An object that keeps no pixel is left out of `labels`, `classes` and `objects` alike, so
that the three stay aligned; `whole_truth` gives it still. Crowds are in no label; they are in `crowds` and, where no object is labelled, in `ignore`.

Source: Lin et al., "Microsoft COCO: common objects in context", ECCV 2014; the format as on cocodataset.org.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from seriatim.core.errors import DataError, ImageError
from seriatim.core.instances import Instance, Instances
from seriatim.core.shapes import Size
from seriatim.data.masks.overlaps import lay_objects
from seriatim.data.problems import FileProblems, Problems
from seriatim.data.readers.coco_annotations import Annotation, AnnotationChecker, draw_all
from seriatim.data.readers.coco_header import (
    CocoImage,
    image_size,
    read_categories,
    read_images,
    read_list,
    unique_names,
)
from seriatim.data.readers.files import read_image
from seriatim.data.readers.json_values import load_json
from seriatim.data.samples import Sample
from seriatim.data.source import CocoFile, Source, WholeTruth

_Drawn = tuple[Annotation, Instance]


class CocoSource(Source):
    """Images and objects of a COCO file, in the order of its images; classes are in the order of the category ids.

    Attributes:
        images: id, file name, size and path of every image.
    """

    def __init__(self, path: Path, strict: bool = False) -> None:
        """
        Args:
            path: the COCO file; its images are in `images/` beside it or in its folder.
            strict: raise the first problem instead of listing it.

        Raises:
            DataError: if the file is damaged, holds no images or categories, no image is there, or, strictly, at the first problem.
        """
        self.path = path
        content = load_json(path)
        raw_images, raw_annotations, raw_categories = (
            read_list(content, key, path) for key in ("images", "annotations", "categories")
        )
        if not raw_images:
            raise DataError(f"{path}: holds no images")
        self.problems = Problems(strict)
        self._log = FileProblems(self.problems, path)
        categories = read_categories(raw_categories, self._log)
        if not categories:
            raise DataError(f"{path}: holds no categories")
        self.category_ids = tuple(categories)
        self.class_names = tuple(categories.values())
        self.images, sizes = read_images(raw_images, path, self._log)
        if not self.images:
            raise DataError(f"{path}: none of its {len(raw_images)} images can be used; {self._first_reason('image')}")
        self._names = unique_names(self.images)
        self._annotations: dict[int, list[Annotation]] = {image.id: [] for image in self.images}
        class_ids = {category_id: number for number, category_id in enumerate(categories, start=1)}
        self.coco = CocoFile(path, sizes, {image.id: image.path for image in self.images}, categories, class_ids)
        checker = AnnotationChecker(sizes, class_ids, self._log)
        for annotation in checker.check_all(raw_annotations):
            if annotation.image_id in self._annotations:
                self._annotations[annotation.image_id].append(annotation)

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """The stem of the image's file, with the id of the image where several have the same."""
        return self._names[index]

    def read(self, index: int) -> Sample:
        """The image and its objects.

        Raises:
            DataError: naming the image that is damaged or of another size than the file says, or, strictly, at a problem.
        """
        image = self.images[index]
        values = read_image(image.path)
        self._check_size(image, (values.shape[1], values.shape[2]))
        drawn, groups = self._draw(image)
        crowds = _numbered(groups, image.size)
        ignore = crowds.label_map() > 0 if len(crowds) else None
        sample, hidden = lay_objects(self.name(index), values, [instance for _, instance in drawn], ignore)
        for position in hidden:
            self._log.add(drawn[position][0].item, "keeps no pixel, since smaller objects cover it wholly; left out")
        return replace(sample, crowds=crowds if len(crowds) else None)

    def image_id(self, index: int) -> int:
        """The id of the image in the file."""
        return self.images[index].id

    def whole_truth(self, index: int) -> WholeTruth:
        """All objects of an image with their whole masks, hidden ones too, and its crowds; the image is not decoded.

        Raises:
            DataError: as `read`.
        """
        image = self.images[index]
        try:
            self._check_size(image, image_size(image.path))
        except ImageError as error:
            raise DataError(str(error)) from None
        objects, crowds = self._draw(image)
        areas = [
            float(instance.area) if annotation.stated_area is None else annotation.stated_area
            for annotation, instance in objects + crowds
        ]
        return WholeTruth(_numbered(objects, image.size), _numbered(crowds, image.size), np.array(areas, np.float64))

    def _draw(self, image: CocoImage) -> tuple[list[_Drawn], list[_Drawn]]:
        """The objects that cover any pixel, in the order of the file, and the crowds."""
        drawn = draw_all(self._annotations[image.id], image.size, self._log)
        return [pair for pair in drawn if not pair[0].is_crowd], [pair for pair in drawn if pair[0].is_crowd]

    def _check_size(self, image: CocoImage, size: Size) -> None:
        if size != image.size:
            turned = ", perhaps since the image is turned by its EXIF tag" if size == image.size[::-1] else ""
            raise DataError(
                f"{image.path}: is {size[0]} x {size[1]} pixels, {self.path} says {image.size[0]} x {image.size[1]}{turned}"
            )

    def _first_reason(self, kind: str) -> str:
        first = next((problem for problem in self.problems if problem.item.startswith(kind)), None)
        return f"{first.item}: {first.reason}" if first else "see the problems"


def _numbered(pairs: list[_Drawn], size: Size) -> Instances:
    """The objects with their place in the order as the step."""
    return Instances(size, [replace(instance, step=step) for step, (_, instance) in enumerate(pairs)])
