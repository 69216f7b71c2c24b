"""`as_emitted`: a model whose masks stay as its steps emitted them.

Analyses of the sequence look at masks before any rule of the product changes them (RSIS Sec. 4.7 takes "the sequence of predicted masks").
"""

from seriatim.inference.predictor import Predictor


def as_emitted(predictor: Predictor) -> Predictor:
    """The same model without the rules that cut, fill or drop masks after the steps: pixels may belong to several objects.

    What the model itself decides stays: its threshold of a pixel, its stop and its smallest mask (`min_area_fraction`). Objects that several
    tiles of a large image saw are still joined.

    Args:
        predictor: the network is shared, not copied.
    """
    rules = {"overlaps": "keep", "solid": False, "min_area": 1}
    inference = predictor.description.inference.model_copy(update=rules)
    return Predictor(predictor.network, predictor.description.model_copy(update={"inference": inference}))
