"""Predictions in COCO's format of results, for `seriatim evaluate --predictions FILE.json`.

Two layouts are read. A bare list of `{"image_id", "category_id", "segmentation", "score"}` has the ids of the COCO file that holds the truth.
An object with `images`, `annotations` and `categories`, which `seriatim segment` writes, has ids of its own: its images are matched to those
of the data by name. Where the data are of a COCO file, categories are matched to its categories by name, and the rest is left out; of other
data the predictions keep their own classes.

    source = open_source("coco:truth.json")
    results = CocoResults(Path("predictions.json"), source)
    for index in range(len(source)):
        found = results.find(index, source.read(index))     # Instances in the order of the file, with scores and classes
    results.problems                                        # what was left out of the predictions
"""

from pathlib import Path, PurePath
from typing import Any

from seriatim.core.errors import DataError
from seriatim.core.instances import Instances
from seriatim.core.shapes import Size
from seriatim.data.problems import FileProblems, Problems
from seriatim.data.readers.coco_annotations import Annotation, AnnotationChecker, draw_all
from seriatim.data.readers.coco_header import read_categories, read_list
from seriatim.data.readers.json_values import describe, is_integer, load_json
from seriatim.data.samples import Sample
from seriatim.data.source import CocoFile, Source


class CocoResults:
    """The predictions for the images of a source; overlaps stay.

    Attributes:
        class_names: of the classes of the predictions, from class 1: those of the source where it is of a COCO file, else the file's own.
        problems: what is wrong, found when opened; polygons that cover no pixel are found when they are read.
    """

    def __init__(self, path: Path, source: Source, strict: bool = False) -> None:
        """
        Args:
            path: a JSON file in either layout.
            source: the truth, whose order the predictions get, or a part of it.
            strict: raise the first problem instead of listing it.

        Raises:
            DataError: if the file is damaged, none of its images or categories is one of the source's, or, strictly, at the first problem.
        """
        self.path = path
        self.source = source
        self.problems = Problems(strict)
        self._log = FileProblems(self.problems, path)
        content = load_json(path)
        raw = content if isinstance(content, list) else read_list(content, "annotations", path)
        self._sizes: dict[int, Size | None] = {}
        indices = self._match_images(content)
        self.class_names, class_ids = self._match_categories(content)
        sizes = {image_id: None if index is None else self._sizes[index] for image_id, index in indices.items()}
        self._found: dict[int, list[Annotation]] = {index: [] for index in self._sizes}
        for annotation in AnnotationChecker(sizes, class_ids, self._log, are_results=True).check_all(raw):
            index = indices[annotation.image_id]
            if index is not None and annotation.class_id:
                self._found[index].append(annotation)

    def find(self, index: int, sample: Sample) -> Instances:
        """The predictions for image number `index` of the source, which is `sample`, in the order of the file; none where it has none.

        Raises:
            DataError: if they are of an image of another size, or, strictly, at a problem.
        """
        height, width = sample.labels.shape
        size = self._sizes.get(index) or (height, width)
        if size != (height, width):
            raise DataError(
                f"{self.path}: says that {sample.name} is {size[0]} x {size[1]} pixels, the truth {height} x {width}"
            )
        return Instances(size, [instance for _, instance in draw_all(self._found.get(index, []), size, self._log)])

    def _match_images(self, content: Any) -> dict[int, int | None]:
        """Image id of this file -> number of the image in the source; None of images that are not evaluated."""
        source, coco = self.source, self.source.coco
        own = {source.image_id(index): index for index in range(len(source))}
        if coco is not None:
            self._sizes = {index: coco.sizes[image_id] for image_id, index in own.items()}
        if isinstance(content, list) or (coco is not None and "images" not in content):
            if coco is None:
                raise DataError(
                    f"{self.path}: a bare list of results has no names of images; for data of a kind other than coco give a file with "
                    "images, annotations and categories, as `seriatim segment` writes it"
                )
            return dict.fromkeys(coco.sizes, None) | own
        images = read_list(content, "images", self.path)
        if coco is not None:
            return self._match_names(images, list(coco.paths.values()), [own.get(image_id) for image_id in coco.paths])
        names = [source.name(index) for index in range(len(source))]
        matched = self._match_names(images, [Path(f"{name}.png") for name in names], list(own.values()))
        missing = [name for index, name in enumerate(names) if index not in self._sizes]
        if missing:
            self._log.add("", f"has no image for {len(missing)} images, such as {missing[0]}; taken as nothing found")
        return matched

    def _match_names(self, images: list[Any], paths: list[Path], indices: list[int | None]) -> dict[int, int | None]:
        """Image id of this file -> number of the image in the source, by name.

        Args:
            images: as this file has them.
            paths: of the images of the data.
            indices: the number of each in the source; None of those that are not evaluated.
        """
        of_data = "the data" if self.source.coco is None else str(self.source.coco.path)
        matcher, taken = NameMatcher(paths), set[int]()
        matched: dict[int, int | None] = {}
        for position, image in enumerate(images):
            values = image if isinstance(image, dict) else {}
            number, name = values.get("id"), values.get("file_name")
            if not is_integer(number) or not isinstance(name, str):
                self._log.add(f"images[{position}]", f"expected an id and a file_name, got {describe(image)}; left out")
                continue
            item = f"image {describe(number)}"
            if number in matched:
                self._log.add(item, "a second one of this id; left out")
                continue
            matched[number] = None
            place, size = matcher.find(name), _size_of(values)
            if place is None:
                self._log.add(item, f"{describe(name)} is no image of {of_data}, or may be several; left out")
            elif place in taken:
                self._log.add(item, f"{describe(name)} is a second one of image {paths[place].stem}; left out")
            elif self.source.coco is None and size is None:
                self._log.add(item, "has no height and width; left out")
            else:
                taken.add(place)
                matched[number] = index = indices[place]
                if index is not None:
                    self._sizes.setdefault(index, size)
        if not taken:
            example = f", such as {paths[0].stem!r}" if paths else ""
            raise DataError(
                f"{self.path}: none of its {len(images)} images is an image of {of_data}; names are compared{example}"
            )
        return matched

    def _match_categories(self, content: Any) -> tuple[tuple[str, ...], dict[int, int]]:
        """The classes of the predictions, and category id of this file -> class; 0 of what the source leaves out."""
        source, coco = self.source, self.source.coco
        if coco is not None and (isinstance(content, list) or "categories" not in content):
            return source.class_names, dict(coco.class_ids)
        categories = read_categories(read_list(content, "categories", self.path), self._log)
        if coco is None:
            return tuple(categories.values()), {category_id: k for k, category_id in enumerate(categories, start=1)}
        return source.class_names, self._known_categories(categories, coco)

    def _known_categories(self, categories: dict[int, str], coco: CocoFile) -> dict[int, int]:
        names = self.source.class_names
        known = dict.fromkeys(coco.categories.values(), 0) | {
            name: number for number, name in enumerate(names, start=1)
        }
        matched = {category_id: known[name] for category_id, name in categories.items() if name in known}
        if not matched and len(categories) == len(names) == 1:
            return dict.fromkeys(categories, 1)
        if categories and not matched:
            raise DataError(
                f"{self.path}: none of its categories ({', '.join(list(categories.values())[:5])} ...) "
                f"is one of {coco.path} ({', '.join(names[:5])} ...); names are compared"
            )
        return matched


def _size_of(image: dict[str, Any]) -> Size | None:
    height, width = image.get("height"), image.get("width")
    return (height, width) if is_integer(height) and is_integer(width) and height > 0 and width > 0 else None


class NameMatcher:
    """Finds the image that a name means: the only one of its stem, else of its whole last part, else of the most folders in common.

    >>> matcher = NameMatcher([Path("data/a/1.jpg"), Path("data/b/1.jpg"), Path("data/b/2.jpg")])
    >>> matcher.find("2.png"), matcher.find("/elsewhere/b/1.jpg"), matcher.find("1.jpg"), matcher.find("3.jpg")
    (2, 1, None, None)
    """

    def __init__(self, paths: list[Path]) -> None:
        """
        Args:
            paths: of the images.
        """
        self._paths = paths
        self._of_stem: dict[str, list[int]] = {}
        for index, path in enumerate(paths):
            self._of_stem.setdefault(path.stem, []).append(index)

    def find(self, name: str) -> int | None:
        """The number of the image, or None where there is none or several fit equally well."""
        wanted = PurePath(name)
        candidates = self._of_stem.get(wanted.stem, [])
        if len(candidates) <= 1:
            return candidates[0] if candidates else None
        common = {index: _common_end(self._paths[index].parts, wanted.parts) for index in candidates}
        best = [index for index in candidates if common[index] == max(common.values())]
        return best[0] if len(best) == 1 else None


def _common_end(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    number = 0
    for one, other in zip(reversed(first), reversed(second), strict=False):
        if one != other:
            break
        number += 1
    return number
