"""Figures 2 to 6 of the DIN paper on made scenes, whose semantic scores are made by hand, so that nothing is trained.

    python examples/din_figures.py --out figures

    figure_2.png    everything between boxes and label map of the scene of figure 3, with the recalibrated scores of the detections
    figure_3.png    the box term alone: false detections are ignored, and overlapping boxes of one class are told apart by colour
    figure_4.png    the global term: a box that is too small
    figure_5.png    the shape term: two objects of one class and colour that overlap
    figure_6.png    the truth in the order of the prediction, in which the loss sees it

`seriatim analyse states --boxes` draws figure 2 of a trained network.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seriatim.analysis.labels import LabelTrace, trace_labels
from seriatim.core.boxes import Boxes
from seriatim.inference.model_folder import ModelDescription
from seriatim.inference.predictor import Predictor
from seriatim.losses.segments import match_segments, reorder_target
from seriatim.models.din import DIN, DINConfig
from seriatim.plots.canvas import write_figure
from seriatim.plots.label_maps import LabelRow, draw_label_maps
from seriatim.plots.labels import draw_labels

SIZE = (64, 96)
SURE = 4.0
"""Score of the true class of a pixel above that of the others: Q is about 0.96."""

GROUND, RED, BLUE, OLIVE = (0.75, 0.75, 0.7), (0.8, 0.2, 0.15), (0.15, 0.3, 0.75), (0.45, 0.45, 0.15)

NETWORK = {
    "fcn": "pyramid",
    "encoder": "test_resnet",
    "encoder_depth": 2,
    "pyramid_channels": 4,
    "input_channels": 3,
    "num_classes": 2,
    "templates_per_bin": 7,
    "semantic_crf": {
        "theta_alpha": 20.0,
        "theta_beta": 10.0,
        "theta_gamma": 1.0,
        "bilateral_weight": 0.5,
        "spatial_weight": 0.5,
    },
    "instance_crf": {
        "theta_alpha": 20.0,
        "theta_beta": 10.0,
        "theta_gamma": 1.0,
        "bilateral_weight": 1.0,
        "spatial_weight": 0.5,
    },
}
"""Settings of the network; its weights are those before any training, its shape templates those of `training_masks`."""

TERMS = {
    "box": {"use_global": False, "use_shape": False},
    "box+global": {"use_shape": False},
    "box+global+shape": {},
}


@dataclass(frozen=True, eq=False)
class Scene:
    """An image that is made, with what a detector gives and what is true.

    Attributes:
        image: values in 0..1.
        truth: label map of its objects.
        classes: of these.
        boxes: detections.
    """

    image: np.ndarray
    truth: np.ndarray
    classes: tuple[int, ...]
    boxes: Boxes

    @property
    def semantic_logits(self) -> Tensor:
        """The scores of the background and the two classes that a good semantic network gives."""
        classes = np.array([0, *self.classes])[self.truth]
        return SURE * torch.nn.functional.one_hot(torch.from_numpy(classes), 3).permute(2, 0, 1).float()


class MadeByHand(DIN):
    """A DIN whose semantic network gives what it is told to."""

    scores: Tensor

    def semantic_logits(self, images: Tensor) -> Tensor:
        """The scores made by hand."""
        return self.scores[None].to(images.dtype)


def ellipse(y: float, x: float, height: float, width: float) -> np.ndarray:
    """The pixels of an ellipse with this centre, height and width."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    return ((rows - y) / height) ** 2 + ((columns - x) / width) ** 2 <= 0.25


def paint(parts: Sequence[tuple[np.ndarray, tuple[float, float, float], int]], boxes: Boxes) -> Scene:
    """A scene of objects, each with its pixels, colour and class, the nearest first."""
    noise = np.random.default_rng(0).normal(0, 0.01, (3, *SIZE))
    image = np.ones((3, *SIZE)) * np.array(GROUND)[:, None, None]
    truth = np.zeros(SIZE, dtype=np.int64)
    for number, (mask, colour, _) in reversed(list(enumerate(parts, start=1))):
        image[:, mask] = np.array(colour)[:, None]
        truth[mask] = number
    pixels = np.clip(image + noise, 0, 1).astype(np.float32)
    return Scene(pixels, truth, tuple(class_id for *_, class_id in parts), boxes)


def false_detections() -> Scene:
    """Fig. 3: an object of class 1; two confident boxes of class 2 and one of class 1 where there is none."""
    boxes = [(12, 8, 52, 44), (4, 30, 30, 60), (34, 60, 60, 90), (2, 66, 22, 94)]
    return paint([(ellipse(32, 26, 40, 36), RED, 1)], Boxes.of(boxes, [0.8, 0.95, 0.9, 0.7], [1, 2, 2, 1]))


def overlapping_boxes() -> Scene:
    """Fig. 3: two objects of class 1 with colours of their own, whose boxes overlap by a third."""
    parts = [(ellipse(32, 36, 48, 36), RED, 1), (ellipse(32, 62, 44, 40), BLUE, 1)]
    return paint(parts, Boxes.of([(8, 18, 56, 60), (10, 40, 54, 82)], [0.8, 0.9], [1, 1]))


def small_box() -> Scene:
    """Fig. 4: a long object of which the box covers the middle half, and one of another class with its own box."""
    parts = [(ellipse(18, 46, 18, 84), RED, 1), (ellipse(48, 46, 20, 40), BLUE, 2)]
    return paint(parts, Boxes.of([(9, 25, 27, 67), (38, 26, 58, 66)], [0.9, 0.9], [1, 2]))


def bar(box: tuple[int, int, int, int], falls: bool, share: float = 0.3) -> np.ndarray:
    """The pixels near a diagonal of a box: the one that falls to the right, or the other."""
    y0, x0, y1, x1 = box
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    down, right = (rows - y0) / (y1 - y0), (columns - x0) / (x1 - x0)
    inside = (down > 0) & (down < 1) & (right > 0) & (right < 1)
    return inside & (np.abs(down - (right if falls else 1 - right)) < share / 2)


def occlusion() -> Scene:
    """Fig. 5: two objects of class 1 of one colour, the nearer one across the other."""
    boxes = [(6, 6, 58, 62), (6, 34, 58, 90)]
    parts = [(bar(box, falls), OLIVE, 1) for box, falls in zip(boxes, (True, False), strict=True)]
    return paint(parts, Boxes.of(boxes, [0.9, 0.85], [1, 1]))


def training_masks() -> list[np.ndarray]:
    """Objects as a training set might have them: bars in both directions, and ellipses."""
    bars = [bar((0, 0, 52, 56), falls, share) for falls in (True, False) for share in (0.25, 0.3, 0.35)]
    return [*(mask[:52, :56] for mask in bars), ellipse(26, 28, 52, 56)[:52, :56]]


def look(scene: Scene, terms: str) -> LabelTrace:
    """What a network with these terms holds of a scene."""
    network = MadeByHand(DINConfig.parse({**NETWORK, **TERMS[terms]})).eval()
    network.scores = scene.semantic_logits
    if network.num_masks:
        network.begin_with_masks(training_masks(), seed=0)
    description = ModelDescription.parse(
        {"model": {"name": "din"}, "preparation": {"channels": 3}, "class_names": ["first", "second"]}
    )
    return trace_labels(Predictor(network, description), scene.image, scene.boxes)


def label_map(scene: Scene, trace: LabelTrace, unary: bool = False) -> np.ndarray:
    """The label map of a trace, or that of its unary, in the numbers of the boxes of the scene from 1."""
    owners = np.asarray(trace.unary_probs.argmax(axis=0)) if unary else trace.owners()
    places = [int(np.flatnonzero((scene.boxes.edges == edges).all(axis=1))[0]) + 1 for edges in trace.boxes.edges]
    return np.array([0, *places])[owners]


def overlap(scene: Scene, labels: np.ndarray) -> list[float]:
    """IoU of each true object with the label of the same number."""
    found = [(labels == number, scene.truth == number) for number in range(1, len(scene.classes) + 1)]
    return [float((one & other).sum() / (one | other).sum()) for one, other in found]


def row_of(scene: Scene, maps: dict[str, np.ndarray]) -> LabelRow:
    """A line of a figure."""
    return LabelRow(scene.image, scene.boxes, {"truth": scene.truth, **maps})


def matched_truth(scene: Scene, trace: LabelTrace) -> np.ndarray:
    """The truth in the order of the prediction (eq. 7), in which the loss sees it."""
    target, classes = torch.from_numpy(scene.truth), torch.tensor(scene.classes)
    matched = match_segments(torch.from_numpy(trace.owners()), torch.from_numpy(trace.boxes.class_ids), target, classes)
    return reorder_target(target, matched).numpy()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("din_figures"), help="folder of the figures")
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    false, overlapping, small, hidden = false_detections(), overlapping_boxes(), small_box(), occlusion()
    write_figure(draw_labels(look(false, "box+global+shape"), "From boxes to labels"), out / "figure_2.png")
    trace, colours = look(false, "box"), look(overlapping, "box")
    rows = [
        row_of(scene, {"unary": label_map(scene, one, unary=True), "after the CRF": label_map(scene, one)})
        for scene, one in ((false, trace), (overlapping, colours))
    ]
    write_figure(draw_label_maps(rows, "Box term alone"), out / "figure_3.png")
    for number, scene, title, (without, with_it) in (
        (4, small, "Without and with the global term", ("box", "box+global")),
        (5, hidden, "Without and with the shape term", ("box+global", "box+global+shape")),
    ):
        maps = {terms: label_map(scene, look(scene, terms)) for terms in (without, with_it)}
        write_figure(draw_label_maps([row_of(scene, maps)], title), out / f"figure_{number}.png")
    maps = {"prediction": colours.owners(), "truth": overlapping.truth}
    matched = {"matched truth": matched_truth(overlapping, colours)}
    row = LabelRow(overlapping.image, colours.boxes, {**maps, **matched})
    write_figure(draw_label_maps([row], "Truth in the order of the prediction"), out / "figure_6.png")
    print(*(f"{out / f'figure_{number}.png'}" for number in range(2, 7)), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
