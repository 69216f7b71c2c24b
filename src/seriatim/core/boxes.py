"""`Boxes`: where to look in one image, as numpy arrays: detections or proposals with their scores and classes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from seriatim.core.errors import ShapeError
from seriatim.core.shapes import Size

if TYPE_CHECKING:
    from seriatim.core.batch import Prompts


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Boxes of one image. Every method returns new boxes.

    Attributes:
        edges: float (boxes, 4): y0, x0, y1, x1 in pixels of the image, half-open: pixel i covers i to i + 1. Edges may leave the image.
        scores: float (boxes,): confidence in 0..1.
        class_ids: int (boxes,): class, counted from 1; 0 where the class is unknown.
    """

    edges: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray

    def __post_init__(self) -> None:
        """
        Raises:
            ShapeError: if the arrays do not fit together, a number is not finite, an edge lies before its opposite, or a score or class
                is out of its range.
        """
        edges, scores, class_ids = self.edges, self.scores, self.class_ids
        if edges.ndim != 2 or edges.shape[1] != 4:
            raise ShapeError(f"boxes: expected edges of shape (boxes, 4), got {edges.shape}")
        for name, values in (("scores", scores), ("class_ids", class_ids)):
            if values.shape != (len(edges),):
                raise ShapeError(f"boxes: expected {len(edges)} {name}, one a box, got shape {values.shape}")
        if edges.dtype.kind != "f" or scores.dtype.kind != "f" or class_ids.dtype.kind not in "iu":
            raise ShapeError(
                f"boxes: expected edges and scores of floats and class_ids of integers, got {edges.dtype}, {scores.dtype} and {class_ids.dtype}"
            )
        _refuse(~np.isfinite(edges), edges, "has edges that are not finite")
        _refuse(edges[:, 2:] < edges[:, :2], edges, "ends before it begins; expected (y0, x0, y1, x1)")
        _refuse(~((scores >= 0) & (scores <= 1)), scores, "has a score outside 0..1")
        _refuse(class_ids < 0, class_ids, "has a negative class")

    @classmethod
    def of(cls, edges: ArrayLike, scores: ArrayLike | None = None, class_ids: ArrayLike | None = None) -> "Boxes":
        """Boxes from anything that numpy takes.

        Args:
            edges: as above.
            scores: as above; None for 1.
            class_ids: as above; None for 0.

        Raises:
            ShapeError: as for the class, and if something is no array of numbers.

        >>> Boxes.of([(0, 0, 2, 3)]).class_ids.tolist()
        [0]
        """
        try:
            corners = np.asarray(edges, dtype=np.float64)
            corners = corners if corners.size else corners.reshape(0, 4)
            count = len(corners) if corners.ndim else 0
            confidences = np.ones(count) if scores is None else np.asarray(scores, dtype=np.float64)
            classes = np.zeros(count, dtype=np.int64) if class_ids is None else np.asarray(class_ids)
        except (TypeError, ValueError) as error:
            raise ShapeError(f"boxes: expected arrays of numbers: {error}") from None
        return cls(corners, confidences, classes.astype(np.int64) if not classes.size else classes)

    @classmethod
    def none(cls) -> "Boxes":
        """No box."""
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.edges)

    def select(self, chosen: Bool[np.ndarray, " boxes"] | Int[np.ndarray, " chosen"]) -> "Boxes":
        """Some of the boxes, by a bool array or by their numbers."""
        return Boxes(self.edges[chosen], self.scores[chosen], self.class_ids[chosen])

    def transform(self, matrix: Float[np.ndarray, "2 3"]) -> "Boxes":
        """The boxes around the four transformed corners of each box.

        Args:
            matrix: takes (y, x, 1) to the new (y, x).

        >>> quarter_turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])
        >>> Boxes(np.array([[1.0, 0.0, 2.0, 4.0]]), np.ones(1), np.ones(1, dtype=int)).transform(quarter_turn).edges.tolist()
        [[-4.0, 1.0, 0.0, 2.0]]
        """
        corners = self.edges[:, [[0, 1], [0, 3], [2, 1], [2, 3]]]
        moved = corners @ matrix[:, :2].T + matrix[:, 2]
        return Boxes(np.concatenate((moved.min(axis=1), moved.max(axis=1)), axis=1), self.scores, self.class_ids)

    def scale(self, factors: tuple[float, float]) -> "Boxes":
        """The boxes of the image resized by factors (of the height, of the width).

        >>> Boxes(np.array([[1.0, 2.0, 3.0, 4.0]]), np.ones(1), np.ones(1, dtype=int)).scale((2.0, 0.5)).edges.tolist()
        [[2.0, 1.0, 6.0, 2.0]]
        """
        return Boxes(self.edges * np.tile(factors, 2), self.scores, self.class_ids)

    def shift(self, offset: tuple[float, float]) -> "Boxes":
        """The boxes moved by an offset (y, x)."""
        return Boxes(self.edges + np.tile(offset, 2), self.scores, self.class_ids)

    def clip(self, size: Size) -> "Boxes":
        """The boxes cut to an image of a (height, width), without those of which nothing is left.

        >>> boxes = Boxes(np.array([[-1.0, 0.0, 2.0, 9.0], [5.0, 0.0, 6.0, 1.0]]), np.ones(2), np.ones(2, dtype=int))
        >>> boxes.clip((4, 4)).edges.tolist()
        [[0.0, 0.0, 2.0, 4.0]]
        """
        edges = np.clip(self.edges, 0, np.tile(np.asarray(size, dtype=np.float64), 2))
        is_kept = (edges[:, 2:] > edges[:, :2]).all(axis=1)
        return Boxes(edges[is_kept], self.scores[is_kept], self.class_ids[is_kept])

    def to_prompts(self) -> "Prompts":
        """The boxes as tensors, without points, as a model takes them."""
        import torch  # here alone, since reading data needs no torch

        from seriatim.core.batch import Prompts

        return Prompts(
            torch.from_numpy(self.edges.astype(np.float32)),
            torch.from_numpy(self.scores.astype(np.float32)),
            torch.from_numpy(self.class_ids.astype(np.int64)),
            torch.zeros(0, 2),
        )


def _refuse(is_wrong: Bool[np.ndarray, "boxes ..."], values: np.ndarray, reason: str) -> None:
    wrong = np.nonzero(is_wrong)[0]
    if len(wrong):
        raise ShapeError(f"boxes: box {wrong[0]} {reason}: {values[wrong[0]].tolist()}")
