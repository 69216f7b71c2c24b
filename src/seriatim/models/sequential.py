"""From the steps of a sequence to instances, the same for every sequential model."""

from collections.abc import Callable, Sequence
from typing import Any

from seriatim.core.instances import Instance, Instances
from seriatim.core.shapes import Size


def decode_sequence(
    steps: Sequence[Any],
    batch: int,
    size: Size,
    decode_step: Callable[[Any, int, int, Any], tuple[Instance | None, bool]],
    config: Any,
) -> list[Instances]:
    """The instances of every image of a batch, in the order found.

    Args:
        steps: outputs of the steps, in their order.
        batch: number of images.
        size: (height, width) of the images.
        decode_step: of the model; see `models.catalogue.Entry`.
        config: of the network.
    """
    decoded = []
    for index in range(batch):
        found = []
        for number, step in enumerate(steps):
            instance, ended = decode_step(step, index, number, config)
            if ended:
                break
            if instance is not None:
                found.append(instance)
        decoded.append(Instances(size, found))
    return decoded
