"""Every class of the synthetic scenes: distinct, in several parts, drawn anew each time, and told by its shape."""

import numpy as np
import pytest

from seriatim.data.synthetic.drawing import draw
from seriatim.data.synthetic.scene_classes import CLASS_NAMES, KINDS

BY_NAME = dict(zip(CLASS_NAMES, KINDS, strict=True))


def example(kind, seed, length=48.0):
    rng = np.random.default_rng(seed)
    return draw(kind.form(rng, 1.1 / length), length, 0.0, False, (40.0, 40.0), False)


def fingerprint(drawing, cells=12):
    """The silhouette, centred in a square, at `cells` x `cells`."""
    rows, columns = np.nonzero(drawing.mask)
    side = max(np.ptp(rows), np.ptp(columns)) + 1
    square = np.zeros((cells, cells))
    y = ((rows - (rows.min() + rows.max()) / 2) / side + 0.5) * (cells - 1e-6)
    x = ((columns - (columns.min() + columns.max()) / 2) / side + 0.5) * (cells - 1e-6)
    np.add.at(square, (np.clip(y, 0, cells - 1).astype(int), np.clip(x, 0, cells - 1).astype(int)), 1)
    return np.minimum(square / (side / cells) ** 2, 1).ravel()


def test_there_are_eight_classes_of_different_names():
    assert len(set(CLASS_NAMES)) == 8
    assert CLASS_NAMES == ("person", "car", "dog", "bird", "tree", "house", "bicycle", "boat")


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_every_example_is_drawn_whole_from_several_parts_and_paints(name):
    for seed in range(6):
        drawing = example(BY_NAME[name], seed)
        assert len(drawing.paints) >= 2
        assert len(set(drawing.paints)) >= 2
        assert np.isfinite(drawing.coverage).all()
        assert drawing.mask.sum() > 0.05 * 48 * 48
        edges = np.concatenate([drawing.mask[0], drawing.mask[-1], drawing.mask[:, 0], drawing.mask[:, -1]])
        assert not edges.any()


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_even_the_smallest_example_shows_enough_pixels(name):
    areas = [example(BY_NAME[name], seed, length=12.0).mask.sum() for seed in range(12)]
    assert min(areas) >= 20


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_no_two_examples_of_a_class_are_the_same_and_the_same_seed_draws_the_same(name):
    kind = BY_NAME[name]
    drawings = [example(kind, seed) for seed in range(8)]
    assert len({drawing.coverage.tobytes() for drawing in drawings}) == 8
    assert example(kind, 3).coverage.tobytes() == drawings[3].coverage.tobytes()


def test_silhouettes_alone_tell_the_classes_apart():
    known, asked, truth = [], [], []
    for class_id, kind in enumerate(KINDS):
        known.append(np.stack([fingerprint(example(kind, seed)) for seed in range(16)]))
        asked += [fingerprint(example(kind, seed)) for seed in range(100, 103)]
        truth += [class_id] * 3
    distances = np.stack([np.square(np.stack(asked)[:, None] - one).sum(axis=2).min(axis=1) for one in known])
    assert np.mean(distances.argmin(axis=0) == truth) > 0.8
