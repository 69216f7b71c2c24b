"""Predictions in COCO's format of results, for `seriatim evaluate --predictions FILE.json`.

Two layouts are read. A bare list of `{"image_id", "category_id", "segmentation", "score"}` has the ids of the truth's file. An object with
`images`, `annotations` and `categories`, which `seriatim segment` writes, has ids of its own: its images are matched to those of the truth
by name, its categories by name.

    source = CocoSource(Path("truth.json"))
    results = CocoResults(Path("predictions.json"), source)
    for index in range(len(source)):
        truth = source.whole_truth(index)        # or source.read(index)
        found = results.read(index)                # Instances in the order of the file, with scores and the source's classes
    results.problems                               # what was left out of the predictions
"""

from pathlib import Path, PurePath
from typing import Any

from seriatim.core.errors import DataError
from seriatim.core.instances import Instances
from seriatim.core.shapes import Size
from seriatim.data.problems import FileProblems, Problems
from seriatim.data.readers.coco import CocoSource
from seriatim.data.readers.coco_annotations import Annotation, AnnotationChecker, draw_all
from seriatim.data.readers.coco_header import read_categories, read_list
from seriatim.data.readers.json_values import describe, is_integer, load_json


class CocoResults:
    """The predictions for the images of a source.

    Attributes:
        problems: what is wrong, found when opened; polygons that cover no pixel are found when they are read.
    """

    def __init__(self, path: Path, source: CocoSource, strict: bool = False) -> None:
        """
        Args:
            path: a JSON file in either layout.
            source: the truth, whose order, sizes and classes the predictions get.
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
        self._indices: dict[int, int] = self._match_images(content)
        class_ids = self._match_categories(content)
        sizes: dict[int, Size | None] = {
            image_id: source.images[index].size if index >= 0 else None for image_id, index in self._indices.items()
        }
        self._found: list[list[Annotation]] = [[] for _ in range(len(source))]
        checker = AnnotationChecker(sizes, class_ids, self._log, are_results=True)
        for annotation in checker.check_all(raw):
            self._found[self._indices[annotation.image_id]].append(annotation)

    def read(self, index: int) -> Instances:
        """The predictions for image number `index` of the source, in the order of the file; none where the file has none.

        Raises:
            DataError: strictly, at a problem.
        """
        size = self.source.images[index].size
        return Instances(size, [instance for _, instance in draw_all(self._found[index], size, self._log)])

    def _match_images(self, content: Any) -> dict[int, int]:
        """Image id of this file -> number of the image in the source; -1 of images that the source does not use."""
        source = self.source
        if isinstance(content, list) or "images" not in content:
            own = dict.fromkeys(source.sizes, -1)
            return own | {image.id: index for index, image in enumerate(source.images)}
        matched: dict[int, int] = {}
        taken: set[int] = set()
        finder = NameMatcher([image.path for image in source.images])
        for position, image in enumerate(read_list(content, "images", self.path)):
            number = image.get("id") if isinstance(image, dict) else None
            if not isinstance(image, dict) or not is_integer(number):
                self._log.add(
                    f"images[{position}]", f"expected an object with an integer id, got {describe(image)}; left out"
                )
                continue
            item, name = f"image {describe(number)}", image.get("file_name")
            if number in matched:
                self._log.add(item, "a second one of this id; left out")
                continue
            index = finder.find(name) if isinstance(name, str) else None
            if index is not None and index in taken:
                self._log.add(item, f"{describe(name)} is a second one of image {source.name(index)}; left out")
                index = None
            elif index is None:
                self._log.add(item, f"{describe(name)} is no image of {source.path}, or may be several; left out")
            matched[number] = -1 if index is None else index
            taken.add(matched[number])
        if all(index < 0 for index in matched.values()):
            raise DataError(
                f"{self.path}: none of its {len(matched)} images is a image of {source.path}; names are compared"
            )
        return matched

    def _match_categories(self, content: Any) -> dict[int, int]:
        """Category id of this file -> class of the source."""
        source = self.source
        if isinstance(content, list) or "categories" not in content:
            return source.class_of_category
        categories = read_categories(read_list(content, "categories", self.path), self._log)
        known = {name: number for number, name in enumerate(source.class_names, start=1)}
        matched = {category_id: known[name] for category_id, name in categories.items() if name in known}
        if not matched and len(categories) == len(known) == 1:
            return dict.fromkeys(categories, 1)
        if categories and not matched:
            raise DataError(
                f"{self.path}: none of its categories ({', '.join(list(categories.values())[:5])} ...) "
                f"is one of {source.path} ({', '.join(source.class_names[:5])} ...); names are compared"
            )
        return matched


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
