"""RIS in whole runs: its recipes for leaves and people go through their stages, a run resumes bit for bit, and four images are learned.

What is made smaller: images and crops, an iteration a stage, two steps per image, and the 4096 channels of FCN-8s.
"""

import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from seriatim.core.batch import Batch
from seriatim.core.errors import StoppedBySignal
from seriatim.core.instances import Instances
from seriatim.core.platform import VARIABLE
from seriatim.core.tensor_files import load_tensors
from seriatim.data.catalogue import open_source
from seriatim.data.readers.voc import CLASS_NAMES
from seriatim.evaluation.evaluate import evaluate_model
from seriatim.inference.predictor import load
from seriatim.models import catalogue
from seriatim.models.interface import TrainingContext
from seriatim.models.ris import RIS, RISConfig, RISObjectiveConfig
from seriatim.training.checkpoint import checkpoints
from seriatim.training.loop import train
from seriatim.training.recipe import Recipe, load_recipe


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def two_objects(seed):
    labels = np.zeros((48, 52), dtype=np.uint8)
    labels[6 + seed : 22, 8:26], labels[26:44, 30 : 50 - seed] = 1, 2
    return labels


def image_of(labels, seed):
    noise = np.random.default_rng(seed).integers(0, 80, size=(*labels.shape, 3))
    return (noise + 80 * (labels > 0)[..., None]).astype(np.uint8)


@pytest.fixture(scope="module")
def leaves(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cvppp") / "A1"
    for seed in range(3):
        labels = two_objects(seed)
        save(folder / f"plant00{seed}_rgb.png", image_of(labels, seed))
        save(folder / f"plant00{seed}_label.png", labels)
    return [f"data.source=cvppp:{folder}", "data.num_validation=1"]


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """Of the four images of train the first holds no person."""
    folder = tmp_path_factory.mktemp("voc") / "VOC2012"
    person = CLASS_NAMES.index("person") + 1
    names = {"train": ["a", "b", "c", "d"], "val": ["e"]}
    for part, of_part in names.items():
        (folder / "ImageSets" / "Segmentation").mkdir(parents=True, exist_ok=True)
        (folder / "ImageSets" / "Segmentation" / f"{part}.txt").write_text("\n".join(of_part) + "\n")
        for seed, name in enumerate(of_part):
            labels = two_objects(seed)
            save(folder / "JPEGImages" / f"{name}.jpg", image_of(labels, seed))
            save(folder / "SegmentationObject" / f"{name}.png", labels)
            classes = np.array([0, 7 if name == "a" else person, 7], dtype=np.uint8)
            save(folder / "SegmentationClass" / f"{name}.png", classes[labels])
    return folder


@pytest.fixture(scope="module")
def coco(tmp_path_factory, voc):
    """`train` and `val`, each of two images with a person and a dog."""
    folder = tmp_path_factory.mktemp("coco")
    for part in ("train", "val"):
        images, annotations = [], []
        for seed in (1, 2):
            labels = two_objects(seed)
            save(folder / part / "images" / f"{seed}.png", image_of(labels, seed))
            images.append({"id": seed, "file_name": f"{seed}.png", "height": 48, "width": 52})
            for number, category in ((1, 1), (2, 18)):
                rows, columns = np.nonzero(labels == number)
                x0, y0 = int(columns.min()), int(rows.min())
                width, height = int(columns.max()) + 1 - x0, int(rows.max()) + 1 - y0
                corners = [x0, y0, x0 + width, y0, x0 + width, y0 + height, x0, y0 + height]
                annotations.append(
                    {
                        "id": 10 * seed + number,
                        "image_id": seed,
                        "category_id": category,
                        "bbox": [x0, y0, width, height],
                        "area": width * height,
                        "segmentation": [corners],
                        "iscrowd": 0,
                    }
                )
        categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / part / "instances.json").write_text(json.dumps(content))
    return [
        f"data.source=coco:{folder}/train/instances.json",
        f"data.validation=coco:{folder}/val/instances.json",
        f"data.test=voc:{voc}@val",
    ]


def made_small(name, data):
    """The recipe with the data of the test and everything smaller, but with its own stages and structure."""
    height, width = load_recipe(name).augmentation.crop_size
    small = load_recipe(
        name,
        [
            *data,
            *(f"stages.{number}.iterations=1" for number in range(2)),
            f"augmentation.crop_size=[{height // 8}, {width // 8}]",
            f"preparation.size=[{height // 8}, {width // 8}]"
            if name == "ris-cvppp"
            else f"preparation.longest_side={width // 8}",
            "inference.tile_size=96",
            "inference.overlap=16",
            "model.config.max_steps=2",
            "validation.num_batches=1",
            "validation.num_images=1",
            "runtime.num_workers=0",
        ],
    )
    config = {key: value for key, value in small.model.config.items() if key != "encoder_weights"}
    if config["fcn"] == "fcn8s":
        config["fc_channels"] = 8
    return small.model_copy(update={"model": small.model.model_copy(update={"config": config})})


def log_of(folder):
    return [line for line in map(json.loads, folder.log_path.read_text().splitlines()) if "total" in line]


def encoder_of(tensors):
    return {name: value for name, value in tensors.items() if name.startswith("network.encoder.")}


def test_the_recipe_of_leaves_runs_through_its_stages(leaves, tmp_path):
    folder = train(made_small("ris-cvppp", leaves), tmp_path / "run", device="cpu")
    log = log_of(folder)
    assert [line["num_objects"] for line in log] == [2, 2]
    assert all(math.isfinite(line["total"]) and {"mask", "confidence"} <= set(line) for line in log)
    predictor = load(tmp_path / "run", "cpu")
    scores = evaluate_model(predictor, open_source(leaves[0].partition("=")[2]), ["cvppp"])
    assert "SBD" in scores["cvppp"]


@pytest.mark.parametrize("name", ["ris-people-coco", "ris-people-voc"])
def test_a_recipe_of_people_trains_the_last_layer_first_and_then_the_whole(name, coco, voc, tmp_path):
    data = [f"data.source=voc:{voc}@train", "data.num_validation=1", f"data.test=voc:{voc}@val"]
    recipe = made_small(name, coco if name == "ris-people-coco" else data)
    folder = train(recipe, tmp_path / "run", device="cpu")
    first, second = (load_tensors(path)[0] for path in checkpoints(folder.checkpoints))
    begun = catalogue.build("ris", recipe.model.config, seed=recipe.seed).state_dict()
    assert all(torch.equal(value, begun[key.removeprefix("network.")]) for key, value in encoder_of(first).items())
    assert not any(key.startswith("optimizer.") and ".encoder." in key for key in first)
    assert not torch.equal(first["network.last.scores.0.weight"], begun["last.scores.0.weight"])
    changed = [key for key, value in encoder_of(second).items() if not torch.equal(value, first[key])]
    assert "network.encoder.features.0.weight" in changed
    step = (second["network.last.scores.0.weight"] - first["network.last.scores.0.weight"]).abs().max().item()
    assert step <= 1.1e-6  # Adam moves a weight by at most its rate, apart from its moments
    predictor = load(tmp_path / "run", "cpu")
    assert predictor.class_names == ("person",)
    assert all(math.isfinite(line["total"]) for line in log_of(folder))


def run_of(folder):
    """A leaf network, its first stage with a frozen encoder, the rate falling in the second."""
    return Recipe.parse(
        {
            "data": {"source": f"folder:{folder}", "num_validation": 1},
            "augmentation": {"crop_size": [40, 40]},
            "model": {"name": "ris", "config": {"channels": 6, "stride": 4, "depth": 1, "max_steps": 2}},
            "optimizer": {"learning_rate": 0.5, "schedule": "plateau", "plateau_patience": 1, "clip_value": 5.0},
            "stages": [
                {"name": "a", "iterations": 3, "group_learning_rates": {"encoder": 0.0}, "curriculum": {"patience": 3}},
                {"name": "b", "iterations": 6, "learning_rate": 0.2},
            ],
            "validation": {"every": 1, "num_batches": 1},
            "runtime": {"batch_size": 1},
        }
    )


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    for seed in range(3):
        labels = two_objects(seed)
        save(folder / "images" / f"{seed}.png", image_of(labels, seed))
        save(folder / "labels" / f"{seed}.png", labels)
    return folder


@pytest.fixture(scope="module")
def whole(squares, tmp_path_factory):
    """The run without interruption, in which the rate falls."""
    factors = []
    run = tmp_path_factory.mktemp("whole") / "run"
    folder = train(run_of(squares), run, watch=lambda state, _: factors.append(state.rate_factor), device="cpu")
    assert len(set(factors)) > 1, "the rate never fell, so that nothing was tried"
    return folder


@pytest.mark.parametrize("stop_at", [2, 3, 8])
def test_a_run_with_plateaus_and_a_frozen_stage_resumes_bit_for_bit(squares, whole, tmp_path, stop_at):
    recipe = run_of(squares)

    def stop(state, _):
        if state.iteration == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedBySignal):
        train(recipe, tmp_path / "parts", watch=stop, device="cpu")
    parts = train(recipe, tmp_path / "parts", resume=True, device="cpu")
    assert parts.log_path.read_bytes() == whole.log_path.read_bytes()
    ours, theirs = (load_tensors(checkpoints(one.checkpoints)[-1]) for one in (parts, whole))
    assert ours[1]["state"] == theirs[1]["state"]
    assert ours[0].keys() == theirs[0].keys()
    assert all(torch.equal(ours[0][key], theirs[0][key]) for key in ours[0])


def test_a_frozen_encoder_keeps_its_batch_norms_through_validations(squares, tmp_path):
    recipe = run_of(squares)
    config = {"fcn": "pyramid", "encoder": "test_resnet", "encoder_depth": 2, "channels": 4, "max_steps": 1}
    recipe = recipe.model_copy(
        update={"stages": recipe.stages[:1], "model": recipe.model.model_copy(update={"config": config})}
    )
    folder = train(recipe, tmp_path / "run", device="cpu")
    ended, _ = load_tensors(checkpoints(folder.checkpoints)[-1])
    begun = catalogue.build("ris", config, seed=recipe.seed).state_dict()
    assert any("running_mean" in name for name in encoder_of(ended))
    assert all(torch.equal(value, begun[name.removeprefix("network.")]) for name, value in encoder_of(ended).items())


def squares_at(places):
    labels = torch.zeros(len(places), 24, 24, dtype=torch.long)
    for image, corners in enumerate(places):
        for number, (row, column) in enumerate(corners, start=1):
            labels[image, row : row + 8, column : column + 8] = number
    return labels


def test_four_images_are_learned_by_heart():
    torch.manual_seed(0)
    places = [[(2, 2), (13, 12)], [(8, 8)], [(2, 14), (14, 2)], [(13, 2), (2, 4)]]
    labels = squares_at(places)
    classes = torch.tensor([[1, 1], [1, 0], [1, 1], [1, 1]])
    noise = torch.rand(4, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    images = 0.7 * (labels > 0)[:, None] + 0.3 * noise
    network = RIS(RISConfig(input_channels=1, channels=16, stride=2, initial_threshold=3.0))
    batch = Batch(images, labels, classes)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(220):
        terms = network.losses(batch, RISObjectiveConfig(), TrainingContext(torch.Generator()))
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_value_(network.parameters(), 5.0)
        optimizer.step()
    with torch.no_grad():
        found = [[one.instance for one in network.detect(image[None])] for image in images]
    assert [len(one) for one in found] == [2, 1, 2, 2]
    for image, instances in enumerate(found):
        for number in range(1, len(places[image]) + 1):
            truth = (labels[image] == number).numpy()
            ious = [(mask & truth).sum() / (mask | truth).sum() for mask in Instances((24, 24), instances).masks()]
            assert max(ious) > 0.7


BF16 = """
[data]
source = "folder:{folder}"

[augmentation]
crop_size = [64, 64]

[model]
name = "ris"

[model.config]
fcn = "pyramid"
encoder = "resnet18"
encoder_depth = 4
channels = 8

[[stages]]
name = "one"
iterations = 1

[runtime]
batch_size = 1
precision = "bf16-mixed"
threads = 1
"""


def test_a_run_in_bfloat16_of_a_residual_network_is_not_killed_from_the_command_line(squares, tmp_path):
    (tmp_path / "half.toml").write_text(BF16.format(folder=squares))
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    words = ["train", str(tmp_path / "half.toml"), "--out", str(tmp_path / "run"), "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-m", "seriatim", *words], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
