import numpy as np
import pytest
from pycocotools import mask as mask_api

from seriatim.core.instances import Instance, Instances
from seriatim.metrics import Example


def _make_examples(seed, num_images=3, scale=1, void=False, crowds=False, distances=False, classes=2):
    """Small random images: blocks of `scale` x `scale` pixels, few score values, so that ties and exact IoU are common."""
    rng = np.random.default_rng(seed)
    examples = []
    for _ in range(num_images):
        size = (int(rng.integers(1, 4)), int(rng.integers(1, 5)))
        labels = rng.integers(0, rng.integers(1, 5), size)
        num_targets = int(labels.max())
        num_preds = int(rng.integers(0, 6))
        masks = rng.random((num_preds, *size)) < rng.choice([0.1, 0.4, 0.7])
        for index in range(num_preds):
            if num_targets and rng.random() < 0.5:
                masks[index] = labels == rng.integers(1, num_targets + 1)
                masks[index] ^= rng.random(size) < 0.15

        def enlarge(planes):
            return planes.repeat(scale, axis=-2).repeat(scale, axis=-1)

        kept = rng.random(size) < 0.3
        examples.append(
            Example(
                enlarge(labels),
                target_classes=rng.integers(1, classes + 1, num_targets),
                target_crowd=rng.random(num_targets) < (0.3 if crowds else 0),
                void=enlarge(kept) if void else None,
                target_distances=rng.choice([10.0, 50.0, 75.0, 100.0, 200.0], num_targets) if distances else None,
                target_distance_confidences=rng.choice([0.2, 0.5, 0.9], num_targets) if distances else None,
                pred_masks=enlarge(masks),
                pred_scores=rng.choice([0.2, 0.5, 0.8, 0.9], num_preds),
                pred_classes=rng.integers(1, classes + 2, num_preds),
            )
        )
    return examples


def _make_overlapping(seed, num_images=3, scale=1, classes=2):
    """Targets of any overlap with crowds, as planes, with predictions near them: arguments of an `Example`, a dict an image."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(num_images):
        size = (int(rng.integers(1, 5)), int(rng.integers(1, 6)))
        num_targets, num_preds = int(rng.integers(0, 6)), int(rng.integers(0, 8))
        targets = rng.random((num_targets, *size)) < rng.choice([0.3, 0.6, 0.9])
        targets[:, 0, 0] |= ~targets.any(axis=(1, 2))
        preds = rng.random((num_preds, *size)) < rng.choice([0.2, 0.5])
        for index in range(num_preds):
            if num_targets and rng.random() < 0.7:
                preds[index] = targets[rng.integers(num_targets)] ^ (rng.random(size) < 0.1)
        images.append(
            {
                "target_masks": targets.repeat(scale, axis=1).repeat(scale, axis=2),
                "target_classes": rng.integers(1, classes + 1, num_targets),
                "target_crowd": rng.random(num_targets) < 0.25,
                "pred_masks": preds.repeat(scale, axis=1).repeat(scale, axis=2),
                "pred_scores": rng.choice([0.2, 0.5, 0.8, 0.9], num_preds),
                "pred_classes": rng.integers(1, classes + 1, num_preds),
            }
        )
    return images


def _encode(planes):
    return [mask_api.encode(np.asfortranarray(plane.astype(np.uint8))) for plane in planes]


def _cut_out(planes):
    nothing = Instance((0, 0, 0, 0), np.zeros((0, 0), dtype=bool))
    return Instances(planes.shape[1:], [Instance.from_mask(plane) or nothing for plane in planes])


def _list_class(examples, class_id):
    """The predictions of a class, best first, as (number of the image, plane), and the planes of its targets in every image."""
    ranked = []
    for image, example in enumerate(examples):
        for index in np.flatnonzero(example.pred_classes == class_id):
            ranked.append((-example.pred_scores[index], len(ranked), image, example.pred_masks[index]))
    ranked.sort(key=lambda entry: entry[:2])
    planes = [
        [example.target_labels == j + 1 for j in range(example.num_targets) if example.target_classes[j] == class_id]
        for example in examples
    ]
    return [entry[2:] for entry in ranked], planes


@pytest.fixture(scope="session")
def list_class():
    return _list_class


@pytest.fixture
def attributes():
    """Attributes of two predictions and two targets, for protocols that go by none of them."""
    return {
        "pred_scores": [0.5, 0.5],
        "pred_classes": [7, 8],
        "target_classes": [1, 2],
        "target_crowd": [True, False],
    }


@pytest.fixture(scope="session")
def make_examples():
    return _make_examples


@pytest.fixture(scope="session")
def make_overlapping():
    return _make_overlapping


@pytest.fixture(scope="session")
def encode():
    return _encode


@pytest.fixture(scope="session")
def cut_out():
    return _cut_out
