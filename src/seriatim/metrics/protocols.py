"""The one door to every protocol: `evaluate(examples, protocol="cvppp")`."""

from collections.abc import Callable, Iterable
from typing import Any

from seriatim.core.errors import ConfigError, DataError, did_you_mean
from seriatim.metrics.cityscapes import CITYSCAPES, evaluate_cityscapes
from seriatim.metrics.coco import COCO, evaluate_coco
from seriatim.metrics.cvppp import CVPPP, evaluate_cvppp
from seriatim.metrics.din import DIN, evaluate_din
from seriatim.metrics.example import Example
from seriatim.metrics.matching_iou import MATCHING_IOU, evaluate_matching_iou
from seriatim.metrics.nuclei import NUCLEI, evaluate_nuclei
from seriatim.metrics.proposals import PROPOSALS, evaluate_proposals
from seriatim.metrics.scoring import Scoring
from seriatim.metrics.sds import SDS, evaluate_sds
from seriatim.metrics.voc07 import VOC07, evaluate_voc07

PROTOCOLS: dict[str, Callable[[list[Example]], dict[str, Any]]] = {
    "cvppp": evaluate_cvppp,
    "sds": evaluate_sds,
    "voc07": evaluate_voc07,
    "din": evaluate_din,
    "coco": evaluate_coco,
    "cityscapes": evaluate_cityscapes,
    "proposals": evaluate_proposals,
    "matching_iou": evaluate_matching_iou,
    "nuclei": evaluate_nuclei,
}
"""Name of a protocol -> the function that computes it, of a list of at least one example."""

SCORINGS: dict[str, Scoring] = {
    "cvppp": CVPPP,
    "sds": SDS,
    "voc07": VOC07,
    "din": DIN,
    "coco": COCO,
    "cityscapes": CITYSCAPES,
    "proposals": PROPOSALS,
    "matching_iou": MATCHING_IOU,
    "nuclei": NUCLEI,
}
"""Name of a protocol -> its parts, for images that come one at a time, and for resampling."""


def check_protocol(name: str) -> None:
    """Refuse what is no protocol.

    Raises:
        ConfigError: naming the closest.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"protocol {name!r}: unknown{did_you_mean(str(name), PROTOCOLS)}")


def evaluate(examples: Iterable[Example], protocol: str) -> dict[str, Any]:
    """The scores of a data set under one official protocol.

    Args:
        examples: truth and predictions of every image, in the order in which equal scores are to be ranked.
        protocol: a name of `PROTOCOLS`.

    Returns:
        The result under the keys that the protocol's own function documents: plain Python dicts, lists and numbers.

    Raises:
        ConfigError: if no protocol has this name.
        DataError: if there is no example, or something else among them.

    >>> import numpy as np
    >>> labels = np.array([[0, 1], [2, 2]])
    >>> evaluate([Example(labels, pred_masks=np.stack([labels == 2, labels == 1]))], protocol="cvppp")["SBD"]
    {'mean': 1.0, 'std': 0.0}
    """
    check_protocol(protocol)
    examples = list(examples)
    if not examples:
        raise DataError(f"examples: protocol {protocol!r} needs at least one image, got none")
    for index, example in enumerate(examples):
        if not isinstance(example, Example):
            raise DataError(f"examples[{index}]: expected an Example, got {type(example).__name__}")
    return PROTOCOLS[protocol](examples)
