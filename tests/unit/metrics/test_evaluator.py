import numpy as np
import pytest

from seriatim.core.errors import ConfigError, DataError
from seriatim.metrics import PROTOCOLS, Evaluator, Example, evaluate
from seriatim.metrics.evaluator import difference_intervals, draw_weights

NUM_IMAGES = 7
NOTHING = Example(np.zeros((1, 4), dtype=int), pred_masks=[])
NO_TARGET = Example(np.zeros((1, 4), dtype=int), pred_masks=np.ones((1, 1, 4), dtype=bool))


def with_distinct_scores(examples, seed):
    """So that no order of equal scores plays a part."""
    scores = np.random.default_rng(seed).permutation(sum(example.num_preds for example in examples)) / 100 + 0.1
    starts = np.cumsum([0, *(example.num_preds for example in examples)])
    return [
        Example(
            example.target_labels,
            example.target_classes,
            example.target_crowd,
            example.void,
            example.target_distances,
            example.target_distance_confidences,
            example.pred_masks,
            scores[start : start + example.num_preds],
            np.minimum(example.pred_classes, 3),
        )
        for example, start in zip(examples, starts, strict=False)
    ]


def images(make_examples, seed):
    examples = make_examples(seed, num_images=NUM_IMAGES, scale=10, void=True, crowds=True, distances=True)
    return with_distinct_scores(examples, seed)


def same(found, expected, place):
    """Whether the numbers of a resample are those of an evaluation."""
    if isinstance(expected, dict) and set(expected) == {"mean", "std"}:
        expected = expected["mean"]
    if isinstance(found, dict):
        return all(same(found[key], expected[key], place) for key in found)
    if isinstance(found, list):
        return all(same(one, other, place) for one, other in zip(found, expected, strict=True))
    undefined = expected is None or expected == -1
    return np.isnan(found[place]) if undefined else found[place] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_image_at_all_is_an_error(protocol):
    with pytest.raises(DataError, match="at least one image"):
        evaluate([], protocol=protocol)


def test_something_else_among_the_examples_is_an_error():
    with pytest.raises(DataError, match=r"examples\[1\]: expected an Example, got dict"):
        evaluate(iter([NOTHING, {}]), protocol="cvppp")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_images_may_come_from_an_iterator(protocol):
    assert evaluate(iter([NOTHING, NO_TARGET]), protocol) == evaluate([NOTHING, NO_TARGET], protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_evaluator_has_the_numbers_of_evaluate(make_examples, protocol):
    examples = images(make_examples, 1)
    evaluator = Evaluator([protocol])
    for example in examples:
        evaluator.add(example)
    assert evaluator.result(protocol) == evaluate(examples, protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("seed", range(4))
def test_a_resample_has_the_numbers_of_the_images_drawn(make_examples, protocol, seed):
    examples = images(make_examples, seed)
    tables = [PROTOCOLS[protocol].tabulate(example) for example in examples]
    weights = draw_weights(NUM_IMAGES, 5, seed)
    found = PROTOCOLS[protocol].pool(tables).resample(weights)
    for place, counts in enumerate(weights.astype(int).tolist()):
        drawn = [example for example, count in zip(examples, counts, strict=True) for _ in range(count)]
        assert same(found, evaluate(drawn, protocol), place)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_numbers_do_not_depend_on_the_size_of_chunks(make_examples, protocol, monkeypatch):
    evaluator = Evaluator([protocol])
    for example in images(make_examples, 2):
        evaluator.add(example)
    expected = evaluator.intervals(protocol, 50)
    monkeypatch.setattr("seriatim.metrics.scoring.MAX_CELLS", 1)
    assert evaluator.intervals(protocol, 50) == expected


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ratings_are_the_numbers_of_each_image_alone(make_examples, protocol):
    evaluator = Evaluator([protocol])
    examples = images(make_examples, 3)
    for example in examples:
        evaluator.add(example)
    for rating, example in zip(evaluator.ratings(protocol), examples, strict=True):
        assert next(iter(rating)) == "quality"
        alone = evaluate([example], protocol)
        for key in ("AP", "AP_vol", "mean_iou", "PQ"):
            if key in rating:
                assert rating[key] == (None if alone[key] == -1 else alone[key])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_image_with_nothing_in_it_and_nothing_found_is_rated_perfect_or_not_at_all(protocol):
    evaluator = Evaluator([protocol])
    nothing = np.zeros((4, 4), dtype=int)
    evaluator.add(Example(nothing, pred_masks=[]))
    evaluator.add(Example(nothing, pred_masks=np.ones((1, 4, 4), dtype=bool)))
    expected = [None, None] if protocol in ("proposals", "box_proposals") else [1.0, 0.0]
    assert [rating["quality"] for rating in evaluator.ratings(protocol)] == expected


def keys(value):
    return {key: keys(inner) for key, inner in value.items()} if isinstance(value, dict) else None


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_intervals_hold_the_number_under_its_own_keys(make_examples, protocol):
    evaluator = Evaluator([protocol])
    for seed in range(6):
        for example in images(make_examples, seed):
            evaluator.add(example)
    result, intervals = evaluator.result(protocol), evaluator.intervals(protocol, 200)
    assert set(intervals) <= set(result)
    checked = 0
    for key, interval in intervals.items():
        value = result[key]
        if isinstance(value, float) and interval is not None:
            assert interval[0] - 1e-9 <= value <= interval[1] + 1e-9
            checked += 1
        elif isinstance(value, dict) and "mean" not in value:
            assert keys(interval) == keys(value)
    assert checked or protocol in ("cvppp", "proposals", "box_proposals")


def test_an_interval_of_a_mean_is_that_of_resampled_means():
    evaluator = Evaluator(["nuclei"])
    counts = [0, 0, 1, 5]
    for count in counts:
        labels = np.zeros((1, 10), dtype=int)
        labels[0, : 2 * count : 2] = np.arange(1, count + 1)
        evaluator.add(Example.from_label_maps(labels * 0, labels))
    drawn = np.random.default_rng(9).integers(0, 4, (500, 4))
    expected = np.percentile(np.array(counts)[drawn].mean(axis=1), (2.5, 97.5))
    assert evaluator.intervals("nuclei", 500, seed=9)["DiC"] == pytest.approx(expected)


def test_the_same_seed_gives_the_same_interval_and_another_one_another(make_examples):
    evaluator = Evaluator(["sds"])
    for example in images(make_examples, 5):
        evaluator.add(example)
    first = evaluator.intervals("sds", 100, seed=1)
    assert first == evaluator.intervals("sds", 100, seed=1) != evaluator.intervals("sds", 100, seed=2)


def test_one_image_has_no_interval(make_examples):
    evaluator = Evaluator(["cvppp", "sds"])
    evaluator.add(images(make_examples, 0)[0])
    assert set(evaluator.intervals("cvppp").values()) == {None}
    assert evaluator.intervals("sds")["mAP"] == [None] * 9


def counting(counts):
    """An evaluator of images without a target and with so many predictions each."""
    evaluator = Evaluator(["nuclei"])
    for count in counts:
        labels = np.zeros((1, 10), dtype=int)
        labels[0, : 2 * count : 2] = np.arange(1, count + 1)
        evaluator.add(Example.from_label_maps(labels * 0, labels))
    return evaluator


def test_the_interval_of_a_difference_is_paired_image_by_image():
    first, second, uneven = counting([0, 1, 4]), counting([1, 2, 5]), counting([0, 0, 4])
    assert difference_intervals(first, second, "nuclei")["DiC"] == pytest.approx([1.0, 1.0])
    drawn = np.random.default_rng(3).integers(0, 3, (200, 3))
    expected = np.percentile(np.array([0, -1, 0])[drawn].mean(axis=1), (2.5, 97.5))
    assert difference_intervals(first, uneven, "nuclei", 200, seed=3)["DiC"] == pytest.approx(expected)


def test_the_difference_of_one_image_has_no_interval_and_that_of_other_images_is_refused():
    assert set(difference_intervals(counting([1]), counting([2]), "nuclei")["AP"].values()) == {None}
    with pytest.raises(ConfigError, match="the same images, got 1 and 2"):
        difference_intervals(counting([1]), counting([1, 2]), "nuclei")


def test_weights_count_draws_with_replacement():
    weights = draw_weights(5, 1000, seed=0)
    assert (weights.sum(axis=1) == 5).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(5), abs=0.1)
    assert weights.max() > 2


def test_what_cannot_be_asked_is_refused(make_examples):
    with pytest.raises(ConfigError, match="did you mean 'cvppp'"):
        Evaluator(["cvpp"])
    evaluator = Evaluator(["cvppp"])
    with pytest.raises(DataError, match="at least one image"):
        evaluator.result("cvppp")
    evaluator.add(images(make_examples, 0)[0])
    with pytest.raises(ConfigError, match="not among those"):
        evaluator.result("sds")
    with pytest.raises(ConfigError, match="num_resamples"):
        evaluator.intervals("cvppp", 0)


def test_an_image_that_a_protocol_refuses_is_counted_by_none():
    evaluator = Evaluator(["nuclei", "matching_iou"])
    with pytest.raises(DataError, match="class 0"):
        evaluator.add(Example(np.array([[1]]), [0], pred_masks=[]))
    evaluator.add(Example(np.array([[1]]), [1], pred_masks=[]))
    assert evaluator.num_images == len(evaluator.ratings("nuclei")) == 1
