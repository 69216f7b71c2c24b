import numpy as np
import pytest

from seriatim.core.errors import ConfigError, DataError, ShapeError
from seriatim.metrics import Example

TARGET = np.array([[0, 1], [2, 2]])
MASKS = np.zeros((2, 2, 2), dtype=bool)


def test_defaults_fill_every_attribute():
    example = Example(TARGET, pred_masks=MASKS)
    assert (example.num_targets, example.num_preds, example.size) == (2, 2, (2, 2))
    assert example.target_classes.tolist() == [1, 1]
    assert example.target_crowd.tolist() == [False, False]
    assert example.pred_scores.tolist() == [1.0, 1.0]
    assert example.pred_classes.tolist() == [1, 1]
    assert (example.void, example.target_distances, example.pred_labels) == (None, None, None)
    assert (example.target_labels.dtype, example.pred_scores.dtype) == (np.int32, np.float64)


def test_positions_follow_the_contract():
    void = np.zeros((2, 2), dtype=bool)
    example = Example(TARGET, [3, 4], [False, True], void, [5.0, 6.0], [0.5, 0.6], MASKS, [0.7, 0.8], [3, 4])
    assert example.target_classes.tolist() == [3, 4]
    assert example.target_crowd.tolist() == [False, True]
    assert example.target_distances.tolist() == [5.0, 6.0]
    assert example.target_distance_confidences.tolist() == [0.5, 0.6]
    assert example.pred_scores.tolist() == [0.7, 0.8]
    assert example.pred_classes.tolist() == [3, 4]


@pytest.mark.parametrize("none", [[], np.zeros((0, 2, 2), dtype=bool), np.zeros((0, 2, 2)), np.zeros(0)])
def test_nothing_of_any_shape_is_no_prediction(none):
    example = Example(TARGET, pred_masks=none, pred_scores=[], pred_classes=[])
    assert (example.num_preds, example.pred_masks.shape) == (0, (0, 2, 2))


def test_gaps_in_target_labels_are_closed():
    gapped = np.array([[0, 3], [7, 7]])
    assert Example(gapped, pred_masks=MASKS).target_labels.tolist() == TARGET.tolist()
    assert Example(gapped, [5, 6], pred_masks=MASKS).target_classes.tolist() == [5, 6]
    by_label = Example(gapped, [1, 2, 3, 4, 5, 6, 7], pred_masks=MASKS)
    assert by_label.target_classes.tolist() == [3, 7]


def test_a_target_without_pixels_is_dropped_with_its_attributes():
    example = Example(TARGET, [4, 5, 6], [False, False, True], pred_masks=MASKS)
    assert (example.num_targets, example.target_classes.tolist()) == (2, [4, 5])


def test_a_prediction_without_pixels_stays_if_it_has_a_score():
    kept = Example.from_label_maps(TARGET, np.array([[0, 3], [3, 3]]), pred_scores=[0.1, 0.2, 0.3])
    assert (kept.num_preds, kept.pred_label_map.tolist()) == (3, [[0, 3], [3, 3]])
    closed = Example.from_label_maps(TARGET, np.array([[0, 3], [3, 3]]))
    assert (closed.num_preds, closed.pred_label_map.tolist()) == (1, [[0, 1], [1, 1]])
    ranked = Example.from_label_maps(TARGET, np.array([[0, 9], [4, 4]]), pred_scores=[0.1, 0.2])
    assert ranked.pred_label_map.tolist() == [[0, 2], [1, 1]]


def test_label_maps_of_large_numbers_are_accepted():
    example = Example.from_label_maps(TARGET.astype(np.uint16) * 30000, TARGET.astype(np.int64) * 10**12)
    assert example.target_labels.tolist() == example.pred_label_map.tolist() == TARGET.tolist()


def test_the_earlier_mask_keeps_a_contested_pixel():
    masks = np.array([[[True, True, False]], [[False, True, True]]])
    assert Example(np.zeros((1, 3), dtype=int), pred_masks=masks).pred_label_map.tolist() == [[1, 1, 2]]


def test_a_label_map_is_never_expanded():
    labels = np.arange(16).reshape(4, 4).repeat(250, axis=0).repeat(250, axis=1)
    example = Example.from_label_maps(labels, labels)
    assert example.pred_masks is None
    assert example.overlap.iou_table().shape == (15, 15)
    assert repr(example) == "Example(1000 x 1000, 15 targets, 15 predictions)"


def test_smaller_targets_lie_in_front_in_the_label_map(encode, cut_out):
    planes = np.array([[[1, 1, 1, 1]], [[0, 1, 1, 0]], [[0, 0, 1, 1]]], dtype=bool)
    for masks in (planes, encode(planes), cut_out(planes)):
        example = Example(target_masks=masks, target_classes=[4, 5, 6], pred_masks=[])
        assert example.target_labels.tolist() == [[1, 2, 2, 3]]
        assert example.target_classes.tolist() == [4, 5, 6]
        assert example.whole_targets.runs.areas.tolist() == [4, 2, 2]


def test_a_target_that_keeps_no_pixel_is_none_of_the_label_map():
    planes = np.array([[[1, 1, 0]], [[1, 0, 0]], [[0, 1, 0]]], dtype=bool)
    example = Example(target_masks=planes, target_classes=[4, 5, 6], pred_masks=[])
    assert (example.target_labels.tolist(), example.target_classes.tolist()) == ([[1, 2, 0]], [5, 6])
    assert example.whole_targets.classes.tolist() == [4, 5, 6]


def test_targets_apart_score_as_their_label_map(make_examples, encode):
    for seed in range(10):
        for given in make_examples(seed, scale=3):
            planes = given.target_labels == np.arange(1, given.num_targets + 1)[:, None, None]
            kept = {
                "target_classes": given.target_classes,
                "pred_scores": given.pred_scores,
                "pred_classes": given.pred_classes,
            }
            for preds in (given.pred_masks, encode(given.pred_masks)):
                example = Example(target_masks=planes, pred_masks=preds, **kept)
                assert (example.overlap.iou_table() == given.overlap.iou_table()).all()
                assert (example.overlap.target_areas == given.overlap.target_areas).all()
                assert (example.target_labels == given.target_labels).all()
                assert (example.pred_label_map == given.pred_label_map).all()


def test_crowds_that_come_as_masks_are_void_where_no_object_is():
    planes = np.array([[[1, 1, 0, 0]], [[0, 1, 1, 0]]], dtype=bool)
    example = Example(
        target_masks=planes,
        target_crowd=[False, True],
        target_distances=[5.0, 7.0],
        target_distance_confidences=[1.0, 0.5],
        void=np.array([[False, False, True, True]]),
        pred_masks=[],
    )
    assert (example.num_targets, example.target_crowd.tolist()) == (1, [False])
    assert example.void.tolist() == [[False, False, True, True]]
    assert Example(target_masks=planes, target_crowd=[False, True], pred_masks=[]).void.tolist() == [[0, 0, 1, 0]]
    labelled = example.with_crowds_labelled()
    assert labelled.target_labels.tolist() == [[1, 1, 2, 0]]
    assert (labelled.target_crowd.tolist(), labelled.target_distances.tolist()) == ([False, True], [5.0, 7.0])
    assert labelled.void.tolist() == [[False, False, False, True]]


def test_predictions_as_a_label_map_meet_targets_as_masks(encode):
    planes = np.array([[[1, 1, 1, 1]], [[0, 1, 1, 0]]], dtype=bool)
    for masks in (planes, encode(planes)):
        example = Example(target_masks=masks, pred_labels=np.array([[0, 1, 1, 3]]), pred_scores=[0.3, 0.2, 0.1])
        whole, seen = example.whole_overlap, example.overlap
        assert whole.table(whole.intersections).tolist() == [[2, 2], [0, 0], [1, 0]]
        assert seen.table(seen.intersections).tolist() == [[0, 2], [0, 0], [1, 0]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"target_labels": np.zeros(3, dtype=int)}, ShapeError, "target_labels: expected a label map"),
        ({"target_labels": np.zeros((2, 2))}, ShapeError, "target_labels: expected integer labels"),
        ({"target_labels": -TARGET}, ShapeError, "negative labels"),
        ({"target_classes": [1]}, ShapeError, "2 labels up to 2 do not fit the 1 entries of target_classes"),
        ({"target_classes": [1, 2], "target_crowd": [True]}, ShapeError, "different length"),
        ({"target_classes": [1.0, 2.0]}, ShapeError, "target_classes: expected integers"),
        ({"target_classes": [[1], [2]]}, ShapeError, "target_classes: expected one axis"),
        ({"target_classes": [1, -2]}, DataError, "target_classes: expected classes from 0"),
        ({"target_crowd": [0, 1]}, ShapeError, "target_crowd: expected bool"),
        ({"void": np.zeros((2, 3), dtype=bool)}, ShapeError, "void: expected bool"),
        ({"void": np.zeros((2, 2))}, ShapeError, "void: expected bool"),
        ({"target_distances": [1.0, 2.0]}, ConfigError, "give both or neither"),
        (
            {"target_distances": [1.0, np.nan], "target_distance_confidences": [1.0, 1.0]},
            DataError,
            "target_distances: expected numbers, got NaN",
        ),
        ({"target_labels": None}, ConfigError, "target_labels and target_masks: give one of them"),
        ({"target_masks": MASKS}, ConfigError, "target_labels and target_masks: give one of them"),
        ({"target_labels": None, "target_masks": MASKS, "target_classes": [1]}, ShapeError, "one a target"),
        ({"target_labels": None, "target_masks": MASKS.astype(int)}, ShapeError, "target_masks: expected bool"),
        ({"target_labels": None, "target_masks": []}, ShapeError, "target_masks: expected bool"),
        ({"target_labels": None, "target_masks": [{"size": [2]}]}, DataError, "a size of two numbers"),
        ({"pred_masks": [{"size": [2, 3], "counts": "6"}]}, ShapeError, "pred_masks: of an image of"),
        ({"pred_masks": [{"size": [2, 2], "counts": "3"}]}, DataError, r"pred_masks\[0\]: run lengths add up"),
        ({"pred_masks": None}, ConfigError, "give one of them"),
        ({"pred_labels": TARGET}, ConfigError, "give one of them"),
        ({"pred_masks": MASKS.astype(np.uint8)}, ShapeError, "pred_masks: expected bool"),
        ({"pred_masks": MASKS[0]}, ShapeError, "pred_masks: expected bool"),
        ({"pred_masks": np.zeros((1, 2, 3), dtype=bool)}, ShapeError, "pred_masks: expected bool"),
        ({"pred_scores": [0.5]}, ShapeError, r"pred_scores: expected one a prediction \(2\), got 1"),
        ({"pred_scores": [0.5, np.nan]}, DataError, "pred_scores: expected finite"),
        ({"pred_scores": [0.5, np.inf]}, DataError, "pred_scores: expected finite"),
        ({"pred_scores": ["a", "b"]}, ShapeError, "pred_scores: expected numbers"),
        ({"pred_classes": [1, 2, 3]}, ShapeError, "pred_classes: expected one a prediction"),
        ({"pred_classes": [1, -1]}, DataError, "pred_classes: expected classes from 0"),
        ({"pred_masks": None, "pred_labels": TARGET[:1]}, ShapeError, "pred_labels: expected the shape"),
        (
            {"pred_masks": None, "pred_labels": TARGET, "pred_scores": [1.0]},
            ShapeError,
            "pred_labels: 2 labels",
        ),
    ],
)
def test_what_does_not_fit_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Example(**{"target_labels": TARGET, "pred_masks": MASKS, **arguments})
