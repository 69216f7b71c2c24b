"""One call of `seriatim segment`: its images one after another, those that are done already left as they are, and what became of each."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seriatim.cli.progress import ProgressBar
from seriatim.cli.talk import say
from seriatim.core.errors import FileWriteError, FormatLimitError, ImageError
from seriatim.data.images import read_stored, to_float_image
from seriatim.results.inputs import Inputs, output_stems
from seriatim.results.manifest import Entry, image_digest, image_key

if TYPE_CHECKING:
    from seriatim.data.box_origins import BoxOrigin
    from seriatim.inference.predictor import Predictor
    from seriatim.results.folder import ResultFolder


class SegmentCall:
    """The images of a call and what became of them.

    Attributes:
        done: images of which all formats are written, in their order.
        failed: image, folder or link -> the reason why it could not be done.
    """

    def __init__(
        self, predictor: "Predictor", results: "ResultFolder", inputs: Inputs, boxes_of: "BoxOrigin | None"
    ) -> None:
        """
        Args:
            predictor: finds the objects.
            results: where they are written.
            inputs: the images.
            boxes_of: boxes of the images, for a model that takes them.
        """
        self.done: list[Entry] = []
        self.failed = dict(inputs.unreadable)
        self._predictor = predictor
        self._results = results
        self._files = inputs.files
        self._boxes_of = boxes_of
        self._num_inputs = len(inputs.files) + len(inputs.unreadable)
        self._num_kept = 0

    def run(self) -> None:
        """Segment every image that is not done; the files of the call are written even if it is stopped."""
        for reason in [f"{path}: {reason}" for path, reason in self.failed.items()]:
            say(reason)
        stems = output_stems(self._files, self._results.folder, self._results.stems())
        try:
            with ProgressBar(len(self._files)) as progress:
                for file, stem in zip(self._files, stems, strict=True):
                    try:
                        self._do(file, stem, progress)
                    except (ImageError, FormatLimitError, MemoryError) as error:
                        self._fail(file, str(error) or f"{file}: too large for the memory")
                    except FileWriteError as error:
                        if not _is_about_a_name(error):
                            raise
                        self._fail(file, f"{file}: its results cannot be named: {error}")
                    progress.image_done()
        finally:
            self._results.finish(image_key(file, self._results.folder) for file in self._files)

    def _do(self, file: Path, stem: str, progress: ProgressBar) -> None:
        sha256 = image_digest(file)
        entry = self._results.done(file, sha256)
        if entry is not None:
            self._num_kept += 1
            if entry.refused:
                raise FormatLimitError(entry.refused)
            self.done.append(entry)
            return
        started = time.perf_counter()
        pixels, num_pages = read_stored(file)
        boxes = None if self._boxes_of is None else self._boxes_of.for_image(file, (pixels.shape[0], pixels.shape[1]))
        instances = self._predictor.predict_values(to_float_image(pixels, str(file)), progress.tiles, boxes)
        seconds = time.perf_counter() - started
        self.done.append(self._results.add(str(file), stem, pixels, instances, seconds, sha256, num_pages))
        say(f"{file}: {_count(len(instances), 'object')} ({seconds:.1f} s)")

    def _fail(self, file: Path, reason: str) -> None:
        self.failed[str(file)] = reason
        say(reason)

    def counts(self) -> list[dict[str, Any]]:
        """File, count and seconds of every image that is done."""
        return [{"file": one.file, "count": one.count, "seconds": round(one.seconds, 3)} for one in self.done]

    def failures(self) -> list[dict[str, str]]:
        """File and reason of every input that is not."""
        return [{"file": file, "reason": reason} for file, reason in self.failed.items()]

    def say_what_was_not_done(self) -> None:
        """Say how many images were done before, what was left out of images, and how many could not be done."""
        if self._num_kept:
            say(f"{self._num_kept} of {len(self._files)} images were done by an earlier call and are unchanged")
        if (num_too_small := sum(one.num_too_small for one in self.done)) > 0:
            where = _count(sum(one.num_too_small > 0 for one in self.done), "image")
            least = self._predictor.description.inference.min_area
            say(
                f"{_count(num_too_small, 'object')} in {where} left out as smaller than inference.min_area = {least} pixels"
            )
        if (num_in_part := sum(one.num_pages > 1 for one in self.done)) > 0:
            say(f"{_count(num_in_part, 'image')} read in part: of several pages or frames the first")
        if self.failed:
            say(f"{len(self.failed)} of {self._num_inputs} images could not be segmented")


def _count(number: int, thing: str) -> str:
    """
    >>> _count(1, "image"), _count(2, "image")
    ('1 image', '2 images')
    """
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _is_about_a_name(error: FileWriteError) -> bool:
    """Whether a file could not be written because of its name, which says nothing about the other files."""
    import errno

    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENAMETOOLONG, errno.EILSEQ)
