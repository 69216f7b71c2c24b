"""Refine the outlines of found objects with a dense CRF: RIS+CRF of Romera-Paredes & Torr (ECCV 2016), Sec. 4.2, for any model.

The paper runs "a CRF as a post-processing method over the produced segments". Here the labels are the background and the objects, as in
the instance CRF of DIN, with the kernels of Kraehenbuehl & Koltun (2011):

    unary of label l at pixel i = log certainty               if l is the label of the segments at i
                                  log (1 - certainty)         if l is the background, or an object within reach of i
                                  -infinity                   otherwise

Three measures let it scale to hundreds of objects of any size. Lengths are in units of the median diameter of the image's objects. Objects
out of each other's reach share a label (a greedy colouring), so that an image of 300 nuclei needs about ten. Large images are processed in
blocks that overlap by twice the reach. An object that would lose all its pixels is left as it was: refinement neither adds nor drops any.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int, Int32

from seriatim.core.instances import Instance, Instances
from seriatim.core.shapes import Box, Size, box_slices, intersect_boxes
from seriatim.inference.config import CRFConfig
from seriatim.inference.overlaps import fill_largest_part
from seriatim.nn import DenseCRF

BLOCK = 512
"""Side of the core of a block, in pixels; results outside the core are discarded."""


def refine_instances(
    values: Float32[np.ndarray, "channels height width"],
    instances: Instances,
    config: CRFConfig,
    solid: bool = False,
    device: torch.device | str = "cpu",
) -> Instances:
    """Move the outlines of objects to edges of the image; the objects and their order stay the same.

    Args:
        values: the image in 0..1, prepared as for the network but at the size of the instances.
        instances: without overlaps; where two overlap, the earlier keeps the pixels.
        config: see `CRFConfig`.
        solid: reduce every object to its largest connected part and fill its holes.
        device: where the CRF runs.
    """
    if not len(instances):
        return instances
    diameter = float(np.median(np.sqrt(4 * np.maximum(instances.areas, 1) / np.pi)))
    reach = max(1, round(config.reach * diameter))
    crf = DenseCRF(
        theta_alpha=max(config.theta_alpha * diameter, 1.0),
        theta_beta=config.theta_beta,
        theta_gamma=max(config.theta_gamma * diameter, 0.5),
        bilateral_weight=config.bilateral_weight,
        spatial_weight=config.spatial_weight,
        num_mean_field_iterations=config.num_mean_field_iterations,
    ).to(device)
    boxes = [grow(instance.box, reach, instances.size) for instance in instances]
    labels = share_labels(boxes)
    owners = np.concatenate(([0], labels))[instances.label_map()]
    winners = np.zeros(instances.size, dtype=np.int32)
    for block, core in _blocks(instances.size, 2 * reach):
        inside = [index for index, box in enumerate(boxes) if intersect_boxes(box, block)]
        if inside:
            placed = [(int(labels[index]), _within(boxes[index], block)) for index in inside]
            unary = unary_logits(owners[box_slices(block)], placed, config.certainty)
            with torch.inference_mode():
                window = torch.from_numpy(np.ascontiguousarray(values[:, *box_slices(block)])).to(device)
                found = crf(torch.from_numpy(unary).to(device), window).argmax(dim=0).cpu().numpy()
            winners[box_slices(core)] = found[box_slices(_within(core, block))]
    wanted = [winners[box_slices(box)] == label for box, label in zip(boxes, labels, strict=True)]
    owner = _assign_pixels(instances, boxes, wanted)
    refined = [_refined(instances[index], owner, index + 1, box, solid) for index, box in enumerate(boxes)]
    return Instances(instances.size, refined)


def share_labels(boxes: Sequence[Box]) -> Int[np.ndarray, " boxes"]:
    """A label from 1 for every box: the smallest that no earlier box overlapping it has.

    >>> share_labels([(0, 0, 4, 4), (2, 2, 6, 6), (9, 9, 12, 12)]).tolist()
    [1, 2, 1]
    """
    edges = np.array(boxes, dtype=np.int64).reshape(-1, 4)
    labels = np.zeros(len(edges), dtype=np.int64)
    for index, (y0, x0, y1, x1) in enumerate(edges):
        earlier = edges[:index]
        overlaps = (earlier[:, 0] < y1) & (earlier[:, 1] < x1) & (earlier[:, 2] > y0) & (earlier[:, 3] > x0)
        taken = np.bincount(labels[:index][overlaps], minlength=1)
        taken[0] = 1
        free = np.flatnonzero(taken == 0)
        labels[index] = free[0] if len(free) else len(taken)
    return labels


def unary_logits(
    owners: Int[np.ndarray, "height width"], placed: Sequence[tuple[int, Box]], certainty: float
) -> Float32[np.ndarray, "labels height width"]:
    """The scores of background (label 0) and the labels of the objects.

    Args:
        owners: label of the segments at every pixel, 0 background.
        placed: label and reach of every object.
        certainty: probability that the segments are right at a pixel.

    >>> unary_logits(np.array([[1, 0, 0]]), [(1, (0, 0, 1, 2))], 0.75).astype(float).round(2).tolist()
    [[[-1.39, -0.29, 0.0]], [[-0.29, -1.39, -inf]]]
    """
    num_labels = 1 + max(label for label, _ in placed)
    allowed = np.zeros((num_labels, *owners.shape), dtype=bool)
    allowed[0] = True
    for label, box in placed:
        allowed[label][box_slices(box)] = True
    agrees = owners[None] == np.arange(num_labels)[:, None, None]
    scores = np.where(agrees, np.log(certainty), np.log1p(-certainty))
    scores[0][allowed.sum(axis=0) == 1] = 0.0
    return np.where(allowed, scores, -np.inf).astype(np.float32)


def grow(box: Box, margin: int, size: Size) -> Box:
    """The box extended by `margin` on every side, within the image."""
    y0, x0, y1, x1 = box
    return max(y0 - margin, 0), max(x0 - margin, 0), min(y1 + margin, size[0]), min(x1 + margin, size[1])


def _within(box: Box, frame: Box) -> Box:
    """The part of a box inside `frame`, in pixels of the frame."""
    common = intersect_boxes(box, frame)
    assert common is not None, "the caller selects boxes that overlap the frame"
    return common[0] - frame[0], common[1] - frame[1], common[2] - frame[0], common[3] - frame[1]


def _blocks(size: Size, margin: int) -> Iterator[tuple[Box, Box]]:
    """Overlapping blocks that cover an image, each with its core; the cores do not overlap."""
    for y0 in range(0, size[0], BLOCK):
        for x0 in range(0, size[1], BLOCK):
            core = (y0, x0, min(y0 + BLOCK, size[0]), min(x0 + BLOCK, size[1]))
            yield grow(core, margin, size), core


def _assign_pixels(
    instances: Instances, boxes: Sequence[Box], wanted: Sequence[Bool[np.ndarray, "_ _"]]
) -> Int32[np.ndarray, "height width"]:
    """The number of the object that gets each pixel, 0 for none; an object that would get no pixel keeps those it had."""
    before = instances.label_map()
    stays = {number for number, mask in enumerate(wanted, start=1) if not mask.any()}
    while True:
        owner = np.zeros(instances.size, dtype=np.int32)
        for number, (box, mask) in enumerate(zip(boxes, wanted, strict=True), start=1):
            owner[box_slices(box)][mask] = number
        for number in stays:
            box = box_slices(instances[number - 1].box)
            owner[box][before[box] == number] = number
        left = np.bincount(owner.ravel(), minlength=len(instances) + 1)
        lost = {number for number in range(1, len(instances) + 1) if not left[number]} - stays
        if not lost:
            return owner
        stays |= lost


def _refined(
    instance: Instance, owner: Int32[np.ndarray, "height width"], number: int, box: Box, solid: bool
) -> Instance:
    """The object with the pixels assigned to it; its holes are filled with background pixels only."""
    window = owner[box_slices(box)]
    mask = window == number
    if solid:
        mask = fill_largest_part(mask) & (mask | (window == 0))
        window[mask] = number
    found = Instance.from_mask(mask, offset=box[:2])
    return instance if found is None else replace(instance, box=found.box, mask=found.mask)
