from seriatim.metrics.protocols import PROTOCOLS
from seriatim.training.scores import NUMBERS


def test_every_protocol_with_a_single_number_may_pick_the_best_weights():
    assert set(PROTOCOLS) - set(NUMBERS) == {"proposals", "box_proposals"}, (
        "recall for several numbers of masks or boxes has no single number"
    )
    assert set(NUMBERS) <= set(PROTOCOLS)
    assert all("score" in numbers for numbers in NUMBERS.values())
