"""The one table of protocols, from which `evaluate`, `Evaluator` and the command line take everything. The rules of each head its file."""

from seriatim.core.errors import ConfigError, did_you_mean
from seriatim.metrics.box_proposals import BOX_PROPOSALS
from seriatim.metrics.cityscapes import CITYSCAPES
from seriatim.metrics.coco import COCO
from seriatim.metrics.coco_boxes import COCO_BOXES
from seriatim.metrics.cvppp import CVPPP
from seriatim.metrics.din import DIN
from seriatim.metrics.matching_iou import MATCHING_IOU
from seriatim.metrics.nuclei import NUCLEI
from seriatim.metrics.proposals import PROPOSALS
from seriatim.metrics.scoring import Scoring
from seriatim.metrics.sds import SDS
from seriatim.metrics.semantic_iou import SEMANTIC_IOU
from seriatim.metrics.voc07 import VOC07

PROTOCOLS: dict[str, Scoring] = {
    "cvppp": CVPPP,
    "sds": SDS,
    "voc07": VOC07,
    "din": DIN,
    "coco": COCO,
    "coco_boxes": COCO_BOXES,
    "cityscapes": CITYSCAPES,
    "proposals": PROPOSALS,
    "box_proposals": BOX_PROPOSALS,
    "matching_iou": MATCHING_IOU,
    "nuclei": NUCLEI,
    "semantic_iou": SEMANTIC_IOU,
}
"""Name of a protocol -> its parts."""


def check_protocol(name: str) -> None:
    """Refuse what is no protocol.

    Raises:
        ConfigError: naming the closest.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"protocol {name!r}: unknown{did_you_mean(str(name), PROTOCOLS)}")
