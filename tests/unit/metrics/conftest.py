import numpy as np
import pytest

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


@pytest.fixture(scope="session")
def make_examples():
    return _make_examples
