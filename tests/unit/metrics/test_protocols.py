import numpy as np
import pytest

from seriatim.core.errors import ConfigError
from seriatim.metrics import PROTOCOLS, Example, evaluate

PERFECT = Example(np.array([[1, 1, 0, 2]]), pred_masks=np.array([[[1, 1, 0, 0]], [[0, 0, 0, 1]]], dtype=bool))
NO_TARGET = Example(np.zeros((1, 4), dtype=int), pred_masks=np.ones((1, 1, 4), dtype=bool))
NO_PREDICTION = Example(np.array([[1, 1, 0, 2]]), pred_masks=[])
NEITHER = Example(np.zeros((1, 4), dtype=int), pred_masks=[])


def test_the_names_are_those_of_the_contract():
    assert set(PROTOCOLS) == {
        *(
            "cvppp",
            "sds",
            "voc07",
            "din",
            "coco",
            "coco_boxes",
            "cityscapes",
            "proposals",
            "box_proposals",
            "matching_iou",
            "nuclei",
            "semantic_iou",
        )
    }


def test_an_unknown_protocol_names_the_closest():
    with pytest.raises(ConfigError, match="did you mean 'cvppp'"):
        evaluate([PERFECT], protocol="cvpp")


def plain(value):
    if isinstance(value, dict):
        return all(type(key) in (str, int, float) and plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(plain(inner) for inner in value)
    return type(value) in (float, int, type(None))


@pytest.mark.parametrize("images", [[PERFECT], [NO_TARGET], [NO_PREDICTION], [NEITHER], [PERFECT, NEITHER, NO_TARGET]])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_results_are_plain_numbers_whatever_is_missing(protocol, images):
    assert plain(evaluate(images, protocol))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_label_map_and_masks_of_the_same_objects_score_alike(protocol, make_examples):
    for seed in range(20):
        from_masks, from_labels = [], []
        for example in make_examples(seed, void=True, scale=3):
            labels = example.pred_label_map
            numbers = range(1, example.num_preds + 1)
            shared = {
                "target_classes": example.target_classes,
                "void": example.void,
                "pred_scores": example.pred_scores,
                "pred_classes": example.pred_classes,
            }
            masks = np.array([labels == number for number in numbers]).reshape(-1, *example.size)
            from_masks.append(Example(example.target_labels, pred_masks=masks, **shared))
            from_labels.append(Example.from_label_maps(example.target_labels, labels, **shared))
        assert evaluate(from_labels, protocol) == evaluate(from_masks, protocol)


def ambiguous(example):
    """Whether a prediction overlaps two targets equally well, where some programs take the first."""
    return any(len(np.unique(row[row > 0])) < np.count_nonzero(row) for row in example.overlap.iou_table())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_renumbering_targets_changes_nothing(protocol, make_examples):
    num_compared = 0
    for seed in range(30):
        examples = make_examples(seed, void=True, crowds=True, scale=6)
        if protocol in ("sds", "voc07", "coco", "coco_boxes"):
            examples = [example for example in examples if not ambiguous(example)]
        if not examples:
            continue
        turned = []
        for example in examples:
            order = np.random.default_rng(seed).permutation(example.num_targets)
            numbers = np.zeros(example.num_targets + 1, dtype=np.int32)
            numbers[order + 1] = np.arange(1, example.num_targets + 1)
            turned.append(
                Example(
                    numbers[example.target_labels],
                    example.target_classes[order],
                    example.target_crowd[order],
                    example.void,
                    pred_masks=example.pred_masks,
                    pred_scores=example.pred_scores,
                    pred_classes=example.pred_classes,
                )
            )
        assert_close(evaluate(turned, protocol), evaluate(examples, protocol))
        num_compared += 1
    assert num_compared > 20


def assert_close(found, expected):
    assert type(found) is type(expected)
    if isinstance(found, dict):
        assert found.keys() == expected.keys()
        for key in found:
            assert_close(found[key], expected[key])
    elif isinstance(found, list):
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    else:
        assert found == pytest.approx(expected, abs=1e-12)
