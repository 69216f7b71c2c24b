import subprocess
import sys

import numpy as np
import pytest
import torch

from seriatim.core.batch import Batch, Prompts
from seriatim.core.errors import CheckpointError, ConfigError
from seriatim.data.synthetic.scenes import make_scene
from seriatim.inference.model_folder import ModelDescription, read_model_folder, write_model_folder
from seriatim.inference.predictor import Predictor
from seriatim.models import catalogue
from seriatim.models.din import DIN, DINConfig, decode
from seriatim.models.din_training import DINObjectiveConfig
from seriatim.models.interface import TrainingContext
from seriatim.nn.detections import true_boxes
from seriatim.nn.shape_templates import make_templates, write_templates

TINY = {
    "fcn": "pyramid",
    "encoder": "test_resnet",
    "encoder_depth": 3,
    "pyramid_channels": 8,
    "num_classes": 5,
    "templates_per_bin": 2,
    "template_side": 8,
    "training_iterations": 2,
    "iterations": 2,
}


def build(background=-4.0, **settings):
    network = catalogue.build("din", {**TINY, **settings}, seed=0).eval()
    with torch.no_grad():
        network.head[-1].bias[0] += background  # so that even random weights find objects
    return network


def prompts_of(boxes, scores=None, class_ids=None):
    count = len(boxes)
    return Prompts(
        torch.tensor(boxes, dtype=torch.float32).reshape(count, 4),
        torch.full((count,), 0.9) if scores is None else torch.tensor(scores),
        torch.ones(count, dtype=torch.long) if class_ids is None else torch.tensor(class_ids),
        torch.zeros(0, 2),
    )


def noise(height=30, width=41, seed=0):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def scene():
    """A drawn scene and the true boxes of its objects."""
    drawn = make_scene(11, size=(96, 120))
    image = torch.from_numpy(drawn.image.copy()).permute(2, 0, 1).float() / 255
    labels = torch.from_numpy(drawn.labels.astype(np.int64))
    return image, true_boxes(labels, torch.from_numpy(drawn.objects.class_ids))


@pytest.fixture(scope="module")
def network():
    return build()


@torch.no_grad()
def test_the_label_map_of_a_scene_is_a_partition_with_every_pixel_inside(scene):
    (image, boxes), network = scene, build(background=0.0)
    found = list(network.detect(image[None], [boxes]))
    output = network.segment(network.semantic_logits(image[None])[0], image, boxes)
    times_taken = np.zeros(image.shape[1:], dtype=int)
    for one in found:
        y0, x0, y1, x1 = one.instance.box
        times_taken[y0:y1, x0:x1] += one.instance.mask
    assert len(found) > 3
    assert 0 < times_taken.sum() < times_taken.size
    np.testing.assert_array_equal(times_taken, (output.logits.argmax(dim=0) > 0).numpy())


@torch.no_grad()
def test_objects_come_in_the_order_of_their_recalibrated_scores(scene, network):
    image, boxes = scene
    boxes = boxes._replace(scores=torch.linspace(0.3, 0.9, len(boxes.scores)))
    output = network.segment(network.semantic_logits(image[None])[0], image, boxes)
    assert (output.recalibrated.diff() <= 0).all()
    assert not torch.equal(output.recalibrated, output.detections.scores)
    classes = [output.detections.class_ids[one.instance.step] for one in network.detect(image[None], [boxes])]
    assert [one.instance.class_id for one in network.detect(image[None], [boxes])] == classes
    steps = [one.instance.step for one in network.detect(image[None], [boxes])]
    assert steps == sorted(set(steps))


@torch.no_grad()
def test_probabilities_are_those_against_the_best_of_the_others(scene, network):
    image, boxes = scene
    output = network.segment(network.semantic_logits(image[None])[0], image, boxes)
    logits = output.logits.numpy()
    for instance, probs in decode(output):
        label = instance.step + 1
        rival = np.delete(logits, label, axis=0).max(axis=0)
        np.testing.assert_allclose(probs.numpy(), 1 / (1 + np.exp(rival - logits[label])), atol=1e-5)


@torch.no_grad()
def test_pixels_that_are_nearly_undecided_are_left_out_by_a_higher_threshold(scene, network):
    image, boxes = scene
    output = network.segment(network.semantic_logits(image[None])[0], image, boxes)
    usual, strict = (sum(one.area for one, _ in decode(output, threshold)) for threshold in (0.5, 0.9))
    assert 0 < strict < usual


@torch.no_grad()
def test_without_boxes_everything_is_background(network):
    image = noise()
    assert list(network.detect(image[None], [Prompts.none()])) == []
    output = network.segment(network.semantic_logits(image[None])[0], image, Prompts.none())
    assert output.logits.shape == (1, 30, 41)


@torch.no_grad()
def test_odd_boxes_change_nothing(network):
    image, good = noise(), [(2, 2, 20, 18), (8, 10, 29, 40)]
    expected = list(network.detect(image[None], [prompts_of(good)]))
    assert expected
    outside, flat = (-30, 4, -2, 20), (5, 5, 5, 30)
    odd = list(network.detect(image[None], [prompts_of([outside, good[0], flat, good[1], (30, 41, 50, 60)])]))
    assert [one.instance.box for one in odd] == [one.instance.box for one in expected]
    assert all(np.array_equal(*(each.instance.mask for each in pair)) for pair in zip(odd, expected, strict=True))


@torch.no_grad()
def test_of_equal_boxes_the_first_takes_all_pixels(network):
    found = list(network.detect(noise()[None], [prompts_of([(2, 2, 25, 30)] * 3)]))
    assert [one.instance.step for one in found] == [0]


@torch.no_grad()
def test_a_box_that_reaches_beyond_the_image_is_used_where_it_lies_inside(network):
    found = list(network.detect(noise()[None], [prompts_of([(-20, 5, 20, 70)])]))
    assert len(found) == 1
    assert found[0].probs.shape == (30, 41)


def test_boxes_that_cannot_be_are_refused_by_number(network):
    with pytest.raises(ConfigError, match=r"box 1 has a class that this model does not know \(1\.\.5\): 6"):
        list(network.detect(noise()[None], [prompts_of([(0, 0, 5, 5)] * 2, class_ids=[1, 6])]))
    with pytest.raises(ConfigError, match="box 0 has a class"):
        list(network.detect(noise()[None], [prompts_of([(0, 0, 5, 5)], class_ids=[0])]))


def test_images_without_boxes_and_points_are_refused(network):
    with pytest.raises(ConfigError, match="boxes: this model needs the boxes of a detector"):
        list(network.detect(noise()[None]))
    with pytest.raises(ConfigError, match="points: this model has no guidance"):
        list(network.detect(noise()[None], [Prompts.none()._replace(points=torch.zeros(1, 2))]))


@torch.no_grad()
def test_a_network_without_classes_takes_detections_of_any():
    network = build(num_classes=0)
    boxes = [(2, 2, 20, 18), (8, 10, 29, 40)]
    found = [list(network.detect(noise()[None], [prompts_of(boxes, class_ids=ids)])) for ids in ([0, 7], [1, 1])]
    assert [one.instance.class_id for one in found[0]] == [1] * len(found[1])


@torch.no_grad()
def test_detections_are_limited_by_score_and_number():
    boxes, scores = [(0, 0, 9, 9), (0, 10, 9, 19), (10, 0, 19, 9), (10, 10, 19, 19)], [0.2, 0.9, 0.6, 0.7]
    for settings, kept in (({"min_detection_score": 0.6}, [0.9, 0.7, 0.6]), ({"max_detections": 2}, [0.9, 0.7])):
        network, image = build(**settings), noise()
        output = network.segment(network.semantic_logits(image[None])[0], image, prompts_of(boxes, scores))
        assert sorted(output.detections.scores.tolist(), reverse=True) == pytest.approx(kept)


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (33, 64)])
@pytest.mark.parametrize("fcn", ["pyramid", "fcn8s"])
@torch.no_grad()
def test_scores_have_the_size_of_the_image(size, fcn):
    network = build_fcn8s() if fcn == "fcn8s" else build()
    assert network.semantic_logits(noise(*size)[None]).shape == (1, 6, *size)


_FCN8S = []


def build_fcn8s():
    if not _FCN8S:
        _FCN8S.append(DIN(DINConfig(num_classes=5, fc_channels=4, templates_per_bin=1)).eval())
    return _FCN8S[0]


@torch.no_grad()
def test_the_way_to_the_labels_can_be_looked_at(scene, network):
    image, boxes = scene
    trace = network.trace(image, boxes)
    output = trace.output
    assert len(trace.terms) == len(output.logits) == len(output.detections) + 1
    weighed = torch.stack([network.terms.weigh(terms) for terms in trace.terms])
    torch.testing.assert_close(weighed, output.unary_logits)
    assert len(trace.iterations) == network.config.instance_iterations
    torch.testing.assert_close(trace.iterations[-1], output.logits)
    assert not torch.allclose(trace.iterations[0], output.logits)


@torch.no_grad()
def test_what_the_box_term_multiplies_with_is_a_setting(scene):
    image, boxes = scene
    boxes = boxes._replace(scores=torch.full_like(boxes.scores, 0.75))
    peaks = {}
    for kind in ("detector", "recalibrated", "sigmoid"):
        trace = build(box_scores=kind, use_shape=False).trace(image, boxes)
        output, label = trace.output, 1
        of_class = output.semantic_logits.softmax(dim=0)[output.detections.class_ids[label - 1]]
        ratio = float((trace.terms[label].box / of_class).max())
        expected = {"detector": 0.75, "recalibrated": float(output.recalibrated[0]), "sigmoid": 1 / (1 + np.exp(-0.5))}
        peaks[kind] = ratio
        assert ratio == pytest.approx(expected[kind], rel=1e-4)
    assert len({round(ratio, 4) for ratio in peaks.values()}) == 3


def test_training_without_boxes_is_refused_unless_the_semantic_network_alone_is_trained(network):
    labels = torch.zeros(1, 16, 16, dtype=torch.long)
    labels[0, 2:9, 2:9] = 1
    batch, context = Batch(noise(16, 16)[None], labels, torch.tensor([[2]])), TrainingContext(torch.Generator())
    with pytest.raises(ConfigError, match=r"data\.boxes: needed, or objective\.detections = truth"):
        network.losses(batch, DINObjectiveConfig(), context)
    terms = network.losses(batch, DINObjectiveConfig(instance=0.0, semantic=1.0), context)
    assert set(terms) == {"semantic"}
    assert set(network.losses(batch, DINObjectiveConfig(detections="truth", semantic=1.0), context)) == {
        "instance",
        "semantic",
    }


def test_the_loss_of_a_batch_is_the_mean_over_its_images(network):
    labels = torch.zeros(2, 20, 20, dtype=torch.long)
    labels[0, 2:9, 2:9], labels[1, 5:18, 3:17] = 1, 1
    images = torch.stack((noise(20, 20), noise(20, 20, 1)))
    batch = Batch(images, labels, torch.ones(2, 1, dtype=torch.long))
    weights, context = (
        DINObjectiveConfig(detections="truth", unmatched="background"),
        TrainingContext(torch.Generator()),
    )
    with torch.no_grad():
        both = network.losses(batch, weights, context)["instance"]
        alone = [
            network.losses(Batch(*(part[one : one + 1] for part in batch[:3])), weights, context)["instance"]
            for one in range(2)
        ]
    torch.testing.assert_close(both, torch.stack(alone).mean())


def test_a_network_begins_with_templates_of_a_file_and_is_loaded_without_it(tmp_path):
    masks = [np.ones((4, 4), dtype=bool), np.eye(6, dtype=bool)]
    templates = make_templates(masks, templates_per_bin=2, side=8)
    write_templates(tmp_path / "shapes.safetensors", templates, "two masks")
    settings = {**TINY, "shape_templates": str(tmp_path / "shapes.safetensors")}
    network = catalogue.build("din", settings, seed=0)
    assert torch.equal(network.terms.shape.templates.detach(), templates)
    description = ModelDescription.parse({"model": {"name": "din", "config": settings}, "preparation": {"channels": 3}})
    write_model_folder(tmp_path / "model", network, description)
    (tmp_path / "shapes.safetensors").unlink()
    loaded, _ = read_model_folder(tmp_path / "model")
    assert torch.equal(loaded.terms.shape.templates.detach(), templates)
    with pytest.raises(CheckpointError, match=r"shapes\.safetensors: cannot be read"):
        catalogue.build("din", settings, seed=0)


def test_a_network_with_the_shape_term_and_no_file_begins_with_masks(tmp_path):
    network = build()
    assert network.num_masks == 20 * 5 * TINY["templates_per_bin"]
    masks = [np.eye(6, dtype=bool), np.ones((9, 3), dtype=bool)]
    network.begin_with_masks(iter(masks), seed=0)
    expected = make_templates(masks, TINY["templates_per_bin"], TINY["template_side"])
    assert torch.equal(network.terms.shape.templates.detach()[:, : expected.shape[1]], expected)
    assert build(use_shape=False).num_masks == 0
    write_templates(tmp_path / "shapes.safetensors", expected, "two masks")
    assert build(shape_templates=str(tmp_path / "shapes.safetensors")).num_masks == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"input_channels": 1, "fcn": "fcn8s"}, "FCN-8s takes 3 or 4 channels"),
        ({"finest_level": 3}, "finest_level: 3 needs an encoder_depth above 3"),
        ({"box_scores": "recalibrated", "semantic_crf": None}, "need semantic_crf and detection_potential"),
        ({"box_scores": "recalibrated", "detection_potential": False}, "need semantic_crf and detection_potential"),
        ({"shape_templates": "x", "use_shape": False}, "without the shape term"),
        ({"mask_threshold": 0.4}, "mask_threshold"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        catalogue.build("din", {**TINY, **settings})


def test_the_predictor_gives_a_partition_at_another_size_too(network):
    pixels = (255 * noise(40, 60).permute(1, 2, 0).numpy()).astype(np.uint8)
    names = ["a", "b", "c", "d", "e"]
    boxes = [(2, 2, 30, 28), (8, 10, 38, 58), (0, 40, 20, 60)]
    for longest in (None, 30):
        preparation = {"channels": 3} if longest is None else {"channels": 3, "longest_side": longest}
        values = {"model": {"name": "din", "config": TINY}, "class_names": names, "preparation": preparation}
        predictor = Predictor(network, ModelDescription.parse(values))
        found = predictor.predict(pixels, boxes=boxes, box_scores=[0.9, 0.8, 0.7], box_classes=[1, 2, 1])
        assert len(found) > 1
        assert found.size == (40, 60)
        assert found.masks().sum(axis=0).max() == 1


MEMORY = """
import resource, torch
from seriatim.core.batch import Prompts
from seriatim.models import catalogue
config = {"fcn": "pyramid", "encoder": "test_resnet", "encoder_depth": 3, "pyramid_channels": 8, "num_classes": 2}
network = catalogue.build("din", config | {"templates_per_bin": 10}, seed=0).eval()
generator = torch.Generator().manual_seed(0)
image = torch.nn.functional.interpolate(torch.rand(1, 3, 25, 25, generator=generator), size=(500, 500), mode="bilinear")
corners = 500 * torch.rand(300, 2, generator=generator)
boxes = torch.cat((corners, corners + 20 + 100 * torch.rand(300, 2, generator=generator)), dim=1)
classes = torch.randint(1, 3, (300,), generator=generator)
prompts = Prompts(boxes, torch.rand(300, generator=generator), classes, torch.zeros(0, 2))
with torch.inference_mode():
    assert sum(1 for _ in network.detect(image, [prompts]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_300_detections_on_500_x_500_pixels_take_less_than_2_gigabytes():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=600, check=True)
    assert int(done.stdout) * 1024 < 2e9
