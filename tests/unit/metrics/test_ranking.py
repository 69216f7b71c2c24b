import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seriatim.metrics.ranking import best_from_here_on, rank, uncontested


@given(scores=st.lists(st.lists(st.sampled_from([0.1, 0.5, 0.9]), max_size=4), min_size=1, max_size=5))
def test_equal_scores_keep_the_order_of_images_and_then_that_of_emission(scores):
    order, images = rank([(2 * image, np.array(values)) for image, values in enumerate(scores)])
    listed = [(-score, image, place) for image, values in enumerate(scores) for place, score in enumerate(values)]
    expected = sorted(range(len(listed)), key=lambda position: listed[position])
    assert order.tolist() == expected
    assert images.tolist() == [2 * listed[position][1] for position in expected]


@given(near=hnp.arrays(bool, (4, 3)))
def test_a_prediction_is_uncontested_if_it_and_its_target_have_no_other_neighbour(near):
    for row, found in zip(near, uncontested(near), strict=True):
        assert found == (row.sum() == 1 and near[:, row.argmax()].sum() == 1)


@given(values=hnp.arrays(float, 6, elements=st.floats(0, 1)))
def test_the_envelope_is_the_largest_value_from_each_place_on(values):
    assert best_from_here_on(values).tolist() == [values[place:].max() for place in range(6)]
