from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from seriatim.core.errors import ConfigError, ImageError, ShapeError
from seriatim.core.instances import Instances
from seriatim.inference import predictor as predictor_module
from seriatim.inference.model_folder import ModelDescription, write_model_folder
from seriatim.inference.predictor import Predictor, choose_device, load
from seriatim.models import catalogue
from seriatim.models.interface import Found
from tests import box_masks
from tests.box_masks import BoxMasks

from ..conftest import describe, paint_discs


@pytest.fixture
def predictor(oracle):
    return Predictor(oracle, describe({}, inference={"tile_size": 128, "overlap": 32, "border_margin": 1}))


@pytest.fixture(scope="module")
def tiny(tiny_network, tiny_description):
    return Predictor(tiny_network, tiny_description)


def image_of(labels):
    return np.where(labels > 0, 255, 0).astype(np.uint8)


def same(first, second):
    return (
        first.size == second.size
        and [one.box for one in first] == [one.box for one in second]
        and np.array_equal(first.masks(), second.masks())
    )


def ious(found, labels):
    masks = found.masks()
    return np.array(
        [
            max((((mask & (labels == n)).sum() / (mask | (labels == n)).sum()) for mask in masks), default=0)
            for n in range(1, labels.max() + 1)
        ]
    )


def test_a_small_image_gives_its_objects_in_the_order_found(predictor):
    labels = paint_discs((60, 90), [(12, 20), (30, 70), (45, 15)], 9)
    found = predictor.predict(image_of(labels))
    assert found.size == (60, 90)
    assert np.array_equal(found.label_map(), labels)
    assert [instance.step for instance in found] == [0, 1, 2]


def test_a_large_image_gives_whole_objects(predictor):
    centres = [(y, x) for y in range(20, 380, 37) for x in range(20, 480, 41)]
    labels = paint_discs((400, 500), centres, 13)
    found = predictor.predict(image_of(labels))
    assert len(found) == len(centres)
    pairs = np.unique(np.stack((found.label_map(), labels)).reshape(2, -1), axis=1)
    assert pairs.shape[1] == len(centres) + 1


def test_streaming_gives_what_predicting_gives(predictor):
    for size in ((100, 100), (300, 220)):
        labels = paint_discs(
            size, [(y, x) for y in range(15, size[0] - 10, 30) for x in range(15, size[1] - 10, 30)], 10
        )
        assert same(Instances(size, predictor.stream(image_of(labels))), predictor.predict(image_of(labels)))


def test_a_stream_runs_only_the_steps_that_are_asked_for(predictor, oracle):
    labels = paint_discs((100, 100), [(20, 20), (50, 50), (80, 80)], 8)
    stream = predictor.stream(image_of(labels))
    assert oracle.num_encoded == 0
    next(stream)
    assert oracle.num_steps == 1
    next(stream)
    assert oracle.num_steps == 2
    stream.close()


def test_a_stream_of_a_large_image_comes_row_by_row(predictor, oracle):
    labels = paint_discs((1000, 100), [(y, 50) for y in range(20, 990, 40)], 12)
    stream = predictor.stream(image_of(labels))
    next(stream)
    assert oracle.num_encoded <= 2


def test_tiles_that_have_ended_leave_the_batch(predictor, oracle):
    labels = paint_discs((100, 400), [(y, x) for y in range(10, 95, 20) for x in range(10, 80, 20)], 6)
    predictor.predict(image_of(labels))
    assert oracle.batches[0] == 4
    assert oracle.batches[-1] == 1
    assert oracle.batches == sorted(oracle.batches, reverse=True)


def test_progress_counts_the_tiles(predictor):
    calls = []
    predictor.predict(np.zeros((300, 300), dtype=np.uint8), lambda done, total: calls.append((done, total)))
    assert calls[-1][0] == calls[-1][1] == 9
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_an_image_is_rescaled_to_the_diameter_and_masks_come_back_at_its_own_size(oracle):
    labels = paint_discs((300, 400), [(y, x) for y in range(40, 280, 70) for x in range(40, 380, 70)], 24)
    predictor = Predictor(oracle, describe({}, preparation={"channels": 1, "diameter": 24}))
    found = predictor.predict(image_of(labels))
    assert found.size == labels.shape
    assert len(found) == labels.max()
    assert ious(found, labels).min() > 0.93


def test_small_objects_are_enlarged_for_the_network(oracle):
    labels = paint_discs((120, 150), [(y, x) for y in range(12, 115, 14) for x in range(12, 145, 14)], 4)
    predictor = Predictor(
        oracle, describe({}, preparation={"channels": 1, "diameter": 24}, inference={"tile_size": 128, "overlap": 64})
    )
    found = predictor.predict(image_of(labels))
    assert len(found) == labels.max()
    assert ious(found, labels).min() > 0.85


def test_a_diameter_that_is_near_enough_keeps_the_scale(oracle):
    labels = paint_discs((100, 100), [(30, 30), (70, 70)], 11)
    predictor = Predictor(oracle, describe({}, preparation={"channels": 1, "diameter": 24}))
    assert np.array_equal(predictor.predict(image_of(labels)).label_map(), labels)


def test_an_image_without_objects_keeps_its_scale(oracle):
    predictor = Predictor(oracle, describe({}, preparation={"channels": 1, "diameter": 24}))
    assert len(predictor.predict(np.zeros((80, 80), dtype=np.uint8))) == 0


def test_a_longest_side_shrinks_the_image_only_for_the_network(oracle):
    labels = paint_discs((200, 300), [(60, 60), (140, 200)], 30)
    predictor = Predictor(oracle, describe({}, preparation={"channels": 1, "longest_side": 150}))
    found = predictor.predict(image_of(labels))
    assert found.size == (200, 300)
    assert ious(found, labels).min() > 0.95


@pytest.mark.parametrize(
    ("preparation", "shape"),
    [
        ({"channels": 1}, (1, 60, 90)),
        ({"channels": 1, "longest_side": 45, "stretch": True, "bright_objects": True}, (1, 30, 45)),
        ({"channels": 1, "size": [50, 70]}, (1, 50, 70)),
        ({"channels": 1, "diameter": 24}, (1, 120, 180)),
        ({"channels": 1, "diameter": 24, "longest_side": 100}, (1, 67, 100)),
    ],
)
def test_a_prepared_image_is_what_the_network_sees(oracle, monkeypatch, preparation, shape):
    labels = paint_discs((60, 90), [(20, 20), (40, 60)], 6)
    values = np.repeat((labels > 0).astype(np.float32)[None], 3, axis=0)
    predictor = Predictor(oracle, describe({}, preparation=preparation))
    prepared = predictor.prepared(values)
    assert abs(np.subtract(prepared.shape, shape)).max() <= (12 if "diameter" in preparation else 0)
    assert prepared.dtype == np.float32
    seen = []
    encode = oracle.encode
    monkeypatch.setattr(oracle, "encode", lambda images: seen.append(images.numpy().copy()) or encode(images))
    predictor.predict_values(values)
    assert np.array_equal(seen[-1][0, :, : prepared.shape[1], : prepared.shape[2]], prepared)


def test_an_image_resized_to_a_size_is_seen_without_padding_as_in_training(oracle, monkeypatch):
    labels = paint_discs((60, 90), [(20, 20), (40, 60)], 10)
    predictor = Predictor(oracle, describe({}, preparation={"channels": 1, "size": [50, 70]}))
    seen = []
    encode = oracle.encode
    monkeypatch.setattr(oracle, "encode", lambda images: seen.append(tuple(images.shape)) or encode(images))
    found = predictor.predict(image_of(labels))
    assert seen == [(1, 1, 50, 70)]
    assert found.size == (60, 90)
    assert ious(found, labels).min() > 0.9


@pytest.mark.parametrize("shape", [(2, 5, 5), (5, 5, 5), (0, 5, 5), (1, 0, 5)])
def test_values_that_are_no_image_are_not_prepared(tiny, shape):
    with pytest.raises(ShapeError, match=r"expected 1, 3 or 4 channels .* got shape \("):
        tiny.prepared(np.zeros(shape, dtype=np.float32))


def test_preparing_looks_with_a_network_that_is_not_learning_and_leaves_it_as_it_was(oracle, monkeypatch):
    predictor = Predictor(oracle.train(), describe({}, preparation={"channels": 1, "diameter": 24}))
    modes = []
    encode = oracle.encode
    monkeypatch.setattr(oracle, "encode", lambda images: modes.append(oracle.training) or encode(images))
    predictor.prepared(np.zeros((1, 40, 40), dtype=np.float32))
    assert modes == [False]
    assert oracle.training


def test_a_diameter_needs_a_network_that_estimates_diameters(tiny_config):
    from seriatim.models import catalogue

    config = {**tiny_config, "extensions": {}, "guidance": None}
    network = catalogue.build("rsis", config, seed=0)
    with pytest.raises(ConfigError, match=r"preparation\.diameter"):
        Predictor(network, describe(config, preparation={"channels": 1, "diameter": 24}))


def test_channels_that_do_not_fit_are_refused(tiny_network, tiny_config):
    with pytest.raises(ConfigError, match=r"preparation\.channels"):
        Predictor(tiny_network, describe(tiny_config, preparation={"channels": 3}))


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (3, 5), (33, 31), (32, 32)])
def test_an_image_of_any_size_keeps_its_size(tiny, size):
    image = np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8)
    found = tiny.predict(image)
    assert found.size == size
    assert found.label_map().shape == size


def test_the_same_image_twice_gives_the_same(tiny):
    image = np.random.default_rng(1).integers(0, 65535, (70, 300), dtype=np.uint16)
    first, second = tiny.predict(image), tiny.predict(image)
    assert len(first)
    assert same(first, second)
    assert first.scores.tolist() == second.scores.tolist()


def test_pixels_of_any_type_are_taken(tiny):
    grey = np.random.default_rng(2).integers(0, 255, (40, 50), dtype=np.uint8)
    expected = tiny.predict(grey)
    assert len(expected)
    for same_image in (
        Image.fromarray(grey),
        grey.astype(np.uint16) * 257,
        np.float32(grey) / 255,
        np.float64(grey) / 255,
        np.repeat(grey[:, :, None], 3, axis=2),
        np.dstack((grey, grey, grey, np.full_like(grey, 255))),
        grey[:, :, None],
    ):
        assert np.array_equal(tiny.predict(same_image).label_map(), expected.label_map())
    assert tiny.predict(grey > 128).size == (40, 50)


def test_a_file_and_its_pixels_give_the_same(tiny, tmp_path):
    grey = np.random.default_rng(2).integers(0, 255, (40, 50), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    for path in (tmp_path / "grey.png", str(tmp_path / "grey.png")):
        assert same(tiny.predict(path), tiny.predict(grey))


def test_exif_orientation_of_a_pillow_image_is_applied(tiny):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(np.zeros((40, 50), dtype=np.uint8))
    picture.getexif().update(exif)
    assert tiny.predict(picture).size == (50, 40)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (np.full((4, 4), np.nan), ShapeError),
        (np.zeros((4, 4, 7)), ShapeError),
        (np.zeros((0, 4)), ShapeError),
        (np.zeros(4), ShapeError),
        ("nowhere.png", ImageError),
    ],
)
def test_what_is_no_image_is_refused(tiny, wrong, error):
    with pytest.raises(error):
        tiny.predict(wrong)


def test_objects_do_not_overlap(tiny):
    found = tiny.predict(np.random.default_rng(4).integers(0, 255, (60, 300), dtype=np.uint8))
    assert found.masks().sum(axis=0).max() <= 1
    assert found.label_map().max() == len(found) > 0


def test_using_a_network_leaves_its_mode_and_its_gradients_alone(tiny_network, tiny_description):
    image = np.zeros((40, 40), dtype=np.uint8)
    tiny_network.train()
    Predictor(tiny_network, tiny_description).predict(image)
    assert tiny_network.training
    assert all(parameter.requires_grad for parameter in tiny_network.parameters())
    tiny_network.eval()


def test_normalisation_does_not_learn_from_use(tiny_network, tiny_description):
    before = {name: value.clone() for name, value in tiny_network.state_dict().items()}
    tiny_network.train()
    Predictor(tiny_network, tiny_description).predict(np.full((40, 40), 200, dtype=np.uint8))
    tiny_network.eval()
    assert all(torch.equal(before[name], value) for name, value in tiny_network.state_dict().items())


def test_half_precision_is_a_setting(tiny_network, tiny_config):
    predictor = Predictor(tiny_network, describe(tiny_config, inference={"precision": "bfloat16"}))
    assert predictor.predict(np.full((40, 40), 100, dtype=np.uint8)).size == (40, 40)


def test_the_number_of_tiles_seen_together_changes_nothing(oracle):
    labels = paint_discs((300, 300), [(y, x) for y in range(20, 290, 29) for x in range(20, 290, 31)], 11)
    found = [
        Predictor(oracle, describe({}, inference={"tile_size": 128, "overlap": 32, "tile_batch": batch})).predict(
            image_of(labels)
        )
        for batch in (1, 3, 8)
    ]
    assert same(found[0], found[1])
    assert same(found[0], found[2])


def test_devices_are_auto_cpu_or_cuda():
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="expected auto, cpu or cuda"):
        choose_device("gpu")
    if not torch.cuda.is_available():
        assert choose_device("auto").type == "cpu"
        with pytest.raises(ConfigError, match="none is available"):
            choose_device("cuda")


def test_an_unknown_model_is_an_error_that_names_it():
    with pytest.raises(ConfigError, match="nucleii"):
        load("nucleii")


def test_the_public_names_are_those_of_the_predictor():
    import seriatim

    assert seriatim.load is load
    assert seriatim.Predictor is Predictor


class Bright(BoxMasks):
    """A detector for tests: every bright part is an object, found from left to right."""

    takes_boxes = False

    def detect(self, images, prompts=None):
        assert prompts is None
        for number, image in enumerate(images):
            parts, _ = ndimage.label(image[0].numpy() > 0.5)
            for step, part in enumerate(Instances.from_label_map(parts)):
                box = replace(
                    part, mask=np.ones_like(part.mask), score=0.9 - 0.2 * step, class_id=1 + step % 2, step=step
                )
                yield Found(number, box, torch.from_numpy(parts == step + 1).float())


@pytest.fixture
def with_detector(monkeypatch, tmp_path):
    """A model that takes boxes, and where the detector is that its settings name."""
    box_masks.in_catalogue(monkeypatch)
    entry = catalogue.Entry(Bright, box_masks.BoxMasksConfig, box_masks.BoxMasksObjectiveConfig)
    monkeypatch.setitem(catalogue.CATALOGUE, "bright", entry)

    def make(name="bright", names=("cat", "dog"), mine=("cat", "dog"), **settings):
        model, inference = {"name": name, "config": {"input_channels": 1}}, {"overlaps": "keep", **settings}
        parts = {"preparation": {"channels": 1}, "class_names": names, "inference": inference}
        detector = ModelDescription.parse({"model": model, **parts})
        write_model_folder(tmp_path / "detector", catalogue.build(name, model["config"], seed=0), detector)
        user = detector.model_copy(
            update={
                "model": detector.model.model_copy(update={"name": box_masks.NAME}),
                "inference": detector.inference.model_copy(update={"detector": str(tmp_path / "detector")}),
                "class_names": mine,
            }
        )
        return Predictor(catalogue.build(box_masks.NAME, model["config"], seed=0), user)

    return make


def two_bars(size=(60, 90)):
    image = np.zeros(size, dtype=np.uint8)
    image[10:20, 5:30], image[30:50, 60:80] = 255, 255
    return image


def test_without_boxes_those_of_the_detector_are_taken_with_their_scores_and_classes(with_detector):
    predictor = with_detector()
    found = predictor.predict(two_bars())
    assert [one.box for one in found] == [(10, 5, 20, 30), (30, 60, 50, 80)]
    assert found.class_ids.tolist() == [1, 2]
    assert found.scores[1] / found.scores[0] == pytest.approx(0.7 / 0.9, rel=0.1)
    assert same(Instances((60, 90), predictor.stream(two_bars())), found)


def test_boxes_that_are_given_win_and_no_box_is_an_answer_too(with_detector, monkeypatch):
    predictor = with_detector()
    monkeypatch.setattr(Predictor, "find_boxes", lambda self, image: pytest.fail("the detector was asked"))
    assert [one.box for one in predictor.predict(two_bars(), boxes=[(1, 2, 9, 9)])] == [(1, 2, 9, 9)]
    assert len(predictor.predict(two_bars(), boxes=[])) == 0


def test_the_detector_looks_at_the_whole_image_in_tiles_of_its_own(with_detector):
    predictor = with_detector(tile_size=64, overlap=32)
    assert [one.box for one in predictor.predict(two_bars((100, 150)))] == [(10, 5, 20, 30), (30, 60, 50, 80)]


def test_the_detector_is_loaded_once_and_only_when_it_is_needed(with_detector, monkeypatch):
    predictor, loaded = with_detector(), []
    read = predictor_module.read_model_folder
    monkeypatch.setattr(predictor_module, "read_model_folder", lambda folder: loaded.append(folder) or read(folder))
    predictor.predict(two_bars(), boxes=[])
    assert loaded == []
    for _ in range(2):
        predictor.predict(two_bars())
    assert len(loaded) == 1


def test_a_detector_of_other_classes_is_refused(with_detector):
    predictor = with_detector(mine=("dog", "cat"))
    with pytest.raises(ConfigError, match=r"inference\.detector: .* has the classes cat, dog, this model dog, cat"):
        predictor.predict(two_bars())
    assert len(with_detector(names=("nucleus",), mine=("object",)).predict(two_bars())) == 2


def test_a_detector_that_needs_boxes_is_refused(with_detector):
    with pytest.raises(ConfigError, match=r"inference\.detector: .* takes boxes itself"):
        with_detector(name=box_masks.NAME).predict(two_bars())


def test_a_detector_of_a_model_that_takes_no_boxes_is_refused(oracle):
    with pytest.raises(ConfigError, match=r"inference\.detector: this model \(rsis\) takes no boxes"):
        Predictor(oracle, describe({}, inference={"detector": "nuclei"}))
