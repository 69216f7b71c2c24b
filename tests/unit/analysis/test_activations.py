import numpy as np
import pytest
import torch

from seriatim.analysis.activations import (
    MAP_SIDE,
    ActivationReport,
    LevelMap,
    channel_means,
    collect_activations,
    mean_in_masks,
)
from seriatim.core.errors import DataError
from seriatim.core.instances import Instance, Instances
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.inference.model_folder import ModelDescription
from seriatim.inference.predictor import Predictor
from seriatim.models import catalogue

OPEN = {"stop_threshold": 0.0, "max_steps": 3, "input_channels": 1}
RSIS = {
    "encoder": "resnet18",
    "encoder_depth": 3,
    "levels": 2,
    "width": 8,
    "mask_threshold": 0.45,
    "min_area_fraction": 0.0,
    **OPEN,
}
LEAF = {"fcn": "leaf", "channels": 6, "stride": 4, **OPEN}
PYRAMID = {
    "initial_threshold": 6.5,
    "fcn": "pyramid",
    "encoder": "resnet18",
    "encoder_depth": 3,
    "finest_level": 1,
    "channels": 6,
    **OPEN,
}


def rectangle(box, size):
    y0, x0, y1, x1 = box
    return Instances(size, [Instance(box, np.ones((y1 - y0, x1 - x0), dtype=bool))])


FOUR = {"f0": LevelMap(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), (64, 64))}


def test_the_mean_over_a_mask_weighs_every_cell_by_the_share_that_the_mask_covers():
    found = rectangle((0, 0, 32, 48), (64, 64))
    assert mean_in_masks(FOUR, found, (64, 64))["f0"].tolist() == pytest.approx([(1 + 0.5 * 2) / 1.5])
    assert mean_in_masks(FOUR, rectangle((40, 33, 41, 34), (64, 64)), (64, 64))["f0"].tolist() == [4.0]


def test_the_padding_is_outside_of_every_mask():
    found = rectangle((0, 0, 40, 32), (40, 64))  # the map is of 64 x 64 pixels
    assert mean_in_masks(FOUR, found, (40, 64))["f0"].tolist() == pytest.approx([(1 + 0.25 * 3) / 1.25])


def test_masks_are_brought_to_the_scale_of_the_network():
    found = rectangle((0, 0, 64, 96), (128, 128))
    assert mean_in_masks(FOUR, found, (64, 64))["f0"].tolist() == pytest.approx([(1 + 0.5 * 2) / 1.5])


def test_the_levels_of_rsis_are_those_of_its_encoder_the_finest_first():
    network = catalogue.build("rsis", RSIS, seed=1).eval()
    images = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = channel_means(network, images)
        levels = network.encoder(images)
    assert list(maps) == ["f2", "f1", "f0"]
    for number in range(3):
        assert torch.allclose(maps[f"f{number}"].values, levels[number][0].mean(dim=0))
        assert maps[f"f{number}"].size == (64, 64)


def test_the_last_cells_may_reach_beyond_the_image():
    network = catalogue.build("rsis", RSIS, seed=1).eval()
    with torch.inference_mode():
        maps = channel_means(network, torch.rand(1, 1, 40, 60, generator=torch.Generator().manual_seed(0)))
    assert {name: (tuple(one.values.shape), one.size) for name, one in maps.items()} == {
        "f2": ((20, 30), (40, 60)),
        "f1": ((10, 15), (40, 60)),
        "f0": ((5, 8), (40, 64)),
    }
    ones = LevelMap(torch.arange(40.0).reshape(5, 8), (40, 64))
    assert mean_in_masks({"f0": ones}, rectangle((0, 52, 8, 60), (40, 60)), (40, 60))["f0"].tolist() == [6.5]


def test_ris_has_b_and_under_it_the_levels_of_a_pyramid():
    images = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        leaf = catalogue.build("ris", LEAF, seed=1).eval()
        assert list(channel_means(leaf, images)) == ["B"]
        pyramid = catalogue.build("ris", PYRAMID, seed=1).eval()
        plain, absolute = (channel_means(pyramid, images, absolute) for absolute in (False, True))
        features = pyramid.encode(images).features[0]
    assert set(plain) == {"f0", "f1", "f2", "B"}
    assert torch.allclose(plain["B"].values, features.mean(dim=0))
    assert torch.allclose(absolute["B"].values, features.abs().mean(dim=0))


def test_tau_is_one_where_the_most_active_object_comes_first():
    found = Instances.from_label_map(np.array([[1, 2, 3, 0]]))
    report = ActivationReport(num_examples=1)
    before, after = np.array([1.0, 3.0, 2.0]), np.array([5.0, 4.0, 0.0])
    for name in ("one", "two"):
        report.add(
            found,
            {"before": {"f1": before, "f0": before}, "after": {"f1": -after, "f0": after}},
            name,
            np.zeros((3, 1, 4), dtype=np.float32),
        )
    [fine, deep] = report.summarise()
    assert (fine.level, fine.after, deep.level, deep.after, deep.after_interval) == ("f1", -1.0, "f0", 1.0, (1.0, 1.0))
    assert deep.before == pytest.approx(-1 / 3)  # of three pairs, two ascend
    assert deep.change_interval == pytest.approx((4 / 3, 4 / 3))
    [example] = report.examples
    assert (example.name, example.chosen) == ("one", {"before": (1, 0), "after": (0, 2)})
    columns = report.maps["after", "most"].sum(axis=0) / MAP_SIDE
    assert np.array_equal(columns, np.repeat([2.0, 0.0, 0.0, 0.0], MAP_SIDE // 4))


class Noise(Source):
    """Images of noise without objects."""

    class_names = ("object",)

    def __len__(self):
        return 3

    def name(self, index):
        return f"noise-{index}"

    def read(self, index):
        image = np.random.default_rng(index).random((1, 40, 60), dtype=np.float32)
        return Sample.of_one_class(self.name(index), image, np.zeros((40, 60), dtype=np.int32))


def predictor_of(config):
    description = ModelDescription.parse({"model": {"name": "ris", "config": config}, "preparation": {"channels": 1}})
    return Predictor(catalogue.build("ris", config, seed=1), description)


@pytest.fixture
def three_bars(monkeypatch):
    """Whatever the network, the predictor finds three bars, from left to right."""
    labels = np.zeros((40, 60), dtype=np.int32)
    labels[5:30, 3:12], labels[10:40, 25:35], labels[:15, 40:60] = 1, 2, 3
    monkeypatch.setattr(Predictor, "predict_values", lambda self, image: Instances.from_label_map(labels))


@pytest.mark.usefixtures("three_bars")
def test_the_same_weights_before_and_after_give_the_same_numbers():
    done = []
    same = catalogue.build("ris", PYRAMID, seed=1)
    report = collect_activations(
        predictor_of(PYRAMID), same, Noise(), 2, progress=lambda *numbers: done.append(numbers)
    )
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert len(report.examples) == 2
    for level in report.summarise():
        assert level.before == level.after
        assert level.change_interval == (0.0, 0.0)
    other = collect_activations(predictor_of(PYRAMID), catalogue.build("ris", PYRAMID, seed=2), Noise())
    assert other.taus["after"] == report.taus["after"]
    assert other.taus["before"] != report.taus["before"]
    assert set(report.as_json()["levels"]) == {"f0", "f1", "f2", "B"}


def test_images_without_two_objects_have_no_order():
    closed = {**PYRAMID, "max_steps": 1}
    with pytest.raises(DataError, match="none of 3 images has two objects"):
        collect_activations(predictor_of(closed), catalogue.build("ris", closed, seed=1), Noise())
