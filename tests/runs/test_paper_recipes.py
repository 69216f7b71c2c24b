"""Every recipe of RSIS on VOC, Cityscapes and CVPPP, and of DIN on VOC, SBD and Cityscapes, runs through all its stages, on a small folder of the true layout, and its model is scored.

What is made smaller: the images and crops, the batch, an iteration a stage, two steps per image, the width, and the encoder; each full-size
network is built once and not trained.
"""

import json
import math
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from seriatim.core.config import read_toml
from seriatim.core.instances import Instance
from seriatim.data.catalogue import open_source
from seriatim.data.readers.cityscapes import CLASS_NAMES as STREET_CLASSES
from seriatim.data.readers.voc import CLASS_NAMES as VOC_CLASSES
from seriatim.evaluation.evaluate import evaluate_model
from seriatim.inference.overlaps import resolve_overlaps
from seriatim.inference.predictor import load
from seriatim.models import catalogue
from seriatim.training.loop import train
from seriatim.training.recipe import load_recipe, names
from seriatim.training.splits import open_splits
from seriatim.training.stages import resolve_stages

RECIPES = Path(str(files("seriatim"))) / "recipes"
VOC_RECIPES = [name for name in names() if name.startswith("rsis-voc")]
SMALL_ENCODERS = {"resnet101": "test_resnet", "resnet50": "resnet10t", "vgg16": "vgg11"}


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def image_of(labels, seed):
    chance = np.random.default_rng(seed)
    noise = chance.integers(0, 80, size=(*labels.shape, 3))
    return (noise + 80 * (labels > 0)[..., None]).astype(np.uint8)


def two_objects(seed):
    labels = np.zeros((48, 64), dtype=np.uint8)
    labels[6 + seed : 22, 8:26], labels[26:44, 34 : 60 - seed] = 1, 2
    return labels


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """`sbd:DIR+VOCDIR` and `voc:DIR@val`: two images of VOC train, one of VOC val, two of SBD alone and one of SBD that is VOC's val."""
    folder = tmp_path_factory.mktemp("voc")
    sbd, voc = folder / "benchmark_RELEASE" / "dataset", folder / "VOCdevkit" / "VOC2012"
    lists = {"train": ["2007_000001", "2007_000002"], "val": ["2007_000003"]}
    for part, of_part in lists.items():
        (voc / "ImageSets" / "Segmentation").mkdir(parents=True, exist_ok=True)
        (voc / "ImageSets" / "Segmentation" / f"{part}.txt").write_text("\n".join(of_part) + "\n")
        for seed, name in enumerate(of_part):
            labels = two_objects(seed)
            save(voc / "JPEGImages" / f"{name}.jpg", image_of(labels, seed))
            save(voc / "SegmentationObject" / f"{name}.png", labels)
            save(voc / "SegmentationClass" / f"{name}.png", np.array([0, 15, 2], dtype=np.uint8)[labels])
    (sbd / "inst").mkdir(parents=True)
    (sbd / "train.txt").write_text("2008_000001\n2007_000003\n")
    (sbd / "val.txt").write_text("2008_000002\n")
    for seed, name in enumerate(["2008_000001", "2007_000003", "2008_000002"]):
        labels = two_objects(seed)
        save(sbd / "img" / f"{name}.jpg", image_of(labels, seed))
        categories = np.array([[7], [20]], dtype=np.uint8)
        savemat(sbd / "inst" / f"{name}.mat", {"GTinst": {"Segmentation": labels, "Categories": categories}})
    return {"source": f"sbd:{sbd}+{voc}", "test": f"voc:{voc}@val"}


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """`cityscapes:DIR@train` and `@val`, with a group and without distances."""
    folder = tmp_path_factory.mktemp("streets")
    for seed, (part, name) in enumerate([("train", "aachen_0"), ("train", "aachen_1"), ("val", "lindau_0")]):
        labels = two_objects(seed)
        ids = np.array([7, 24_000, 26_000], dtype=np.uint16)[labels]
        ids[45:, :20] = 26
        city = name.partition("_")[0]
        save(folder / "leftImg8bit" / part / city / f"{name}_leftImg8bit.png", image_of(labels, seed))
        save(folder / "gtFine" / part / city / f"{name}_gtFine_instanceIds.png", ids)
    return {"source": f"cityscapes:{folder}@train", "test": f"cityscapes:{folder}@val"}


@pytest.fixture(scope="module")
def plants(tmp_path_factory):
    """`cvppp:DIR` with three images."""
    folder = tmp_path_factory.mktemp("cvppp") / "A1"
    for seed in range(3):
        labels = two_objects(seed)
        save(folder / f"plant{seed:03d}_rgb.png", image_of(labels, seed))
        save(folder / f"plant{seed:03d}_label.png", labels)
    return {"source": f"cvppp:{folder}", "test": f"cvppp:{folder}"}


def made_small(name, data):
    """The recipe with the data of the test, an iteration a stage, and everything smaller, but with its own stages and structure."""
    recipe = load_recipe(name)
    crop = [64, 64 * recipe.augmentation.crop_size[1] // recipe.augmentation.crop_size[0]]
    small = load_recipe(
        name,
        [
            f"data.source={data['source']}",
            f"data.test={data['test']}",
            "data.num_validation=1",
            *(f"stages.{number}.iterations=1" for number in range(len(recipe.stages))),
            f"augmentation.crop_size={crop}",
            f"preparation.size={crop}",
            "inference.tile_size=128",
            "inference.overlap=16",
            f"model.config.encoder={SMALL_ENCODERS[recipe.model.config['encoder']]}",
            "model.config.width=32",
            "model.config.max_steps=2",
            "validation.num_batches=1",
            "validation.num_images=1",
            "runtime.batch_size=2",
            "runtime.num_workers=0",
        ],
    )
    config = {key: value for key, value in small.model.config.items() if key != "encoder_weights"}
    return small.model_copy(update={"model": small.model.model_copy(update={"config": config})})


def run_through(recipe, run, protocol):
    """The log of the iterations, the predictor, and its score on the test images."""
    torch.set_num_threads(1)
    folder = train(recipe, run, device="cpu")
    log = [json.loads(line) for line in folder.log_path.read_text().splitlines()]
    predictor = load(run, "cpu")
    scores = evaluate_model(predictor, open_source(recipe.data.test), [protocol])[protocol]
    return [line for line in log if "total" in line], predictor, scores


@pytest.mark.parametrize("name", VOC_RECIPES)
def test_a_recipe_of_voc_runs_through_its_stages(name, voc, tmp_path):
    log, predictor, scores = run_through(made_small(name, voc), tmp_path / "run", "sds")
    terms = ["mask", "classification", "stop"]
    assert [[term for term in terms if term in line] for line in log] == [terms[:1], terms[:2], terms]
    assert all(math.isfinite(line["total"]) for line in log)
    assert predictor.class_names == VOC_CLASSES
    assert set(scores["per_class"]) >= {15, 2}


def test_the_recipe_of_cityscapes_runs_through_its_stages(streets, tmp_path):
    log, predictor, scores = run_through(made_small("rsis-cityscapes", streets), tmp_path / "run", "cityscapes")
    assert [line["num_objects"] for line in log] == [2, 2, 2]
    assert "stop" in log[-1]
    assert all(math.isfinite(line["total"]) for line in log)
    assert predictor.class_names == STREET_CLASSES
    assert {"AP", "AP50", "AP100m", "AP50m"} <= set(scores)


@pytest.mark.parametrize("name", ["rsis-voc", "rsis-voc-vgg16", "rsis-voc-resnet50"])
def test_the_full_size_networks_can_be_built(name):
    network = catalogue.build("rsis", load_recipe(name).model.config, seed=0, encoder_weights=False)
    with torch.no_grad():
        output = network.eval()(torch.zeros(1, 3, 64, 64), 1)
    assert output.class_logits.shape == (1, 1, 20)


TABLE_5 = {
    "rsis-voc": ("resnet101", "concat", 5),
    "rsis-voc-vgg16": ("vgg16", "concat", 5),
    "rsis-voc-resnet50": ("resnet50", "concat", 5),
    "rsis-voc-skip-sum": ("resnet101", "sum", 5),
    "rsis-voc-skip-mult": ("resnet101", "mult", 5),
    "rsis-voc-skip-none": ("resnet101", "none", 5),
    "rsis-voc-levels-4": ("resnet101", "concat", 4),
    "rsis-voc-levels-3": ("resnet101", "concat", 3),
    "rsis-voc-levels-2": ("resnet101", "concat", 2),
    "rsis-voc-levels-1": ("resnet101", "concat", 1),
}


def test_the_recipes_of_voc_are_the_rows_of_table_5_and_differ_in_nothing_else():
    assert sorted(TABLE_5) == VOC_RECIPES
    first = load_recipe("rsis-voc").model_dump()
    for name, (encoder, skip_mode, levels) in TABLE_5.items():
        recipe = load_recipe(name).model_dump()
        row = {"encoder": encoder, "skip_mode": skip_mode, "levels": levels}
        assert {key: recipe["model"]["config"][key] for key in row} == row
        recipe["model"]["config"] |= {key: first["model"]["config"][key] for key in row}
        assert recipe == first


def test_the_recipe_of_leaves_runs_through_its_stages(plants, tmp_path):
    log, predictor, scores = run_through(made_small("rsis-cvppp", plants), tmp_path / "run", "cvppp")
    terms = ["mask", "classification", "stop"]
    assert [[term for term in terms if term in line] for line in log] == [terms[:1], terms[:2], terms]
    assert all(math.isfinite(line["total"]) for line in log)
    assert predictor.class_names == ("leaf",)
    assert len(scores["per_image"]) == 3


# --- the protocol of the test images, which is the recipe's own -----------------------------------------------------------------------

RIS_RECIPES = [name for name in names() if name.startswith("ris-")]
RSIS_RECIPES = [name for name in names() if name.startswith("rsis-")]
SIZES = {"rsis-cityscapes": (256, 512), "rsis-cvppp": (400, 400), **dict.fromkeys(VOC_RECIPES, (256, 256))}


def written(name):
    """The recipe as its file has it, without the defaults of the classes."""
    return read_toml(RECIPES / f"{name}.toml")


@pytest.mark.parametrize("name", RSIS_RECIPES)
def test_rsis_squeezes_images_to_the_size_of_the_paper_in_training_and_in_use(name):
    recipe = load_recipe(name)
    assert recipe.preparation.size == recipe.augmentation.crop_size == SIZES[name]
    assert recipe.augmentation.fit
    assert recipe.inference.tile_size >= max(SIZES[name])  # the image is seen whole
    kept = load_recipe(name, ["preparation.size=", f"preparation.longest_side={SIZES[name][1]}"])
    assert (kept.preparation.size, kept.preparation.longest_side) == (None, SIZES[name][1])


def test_ris_sees_leaves_in_the_size_of_the_images_of_a1():
    recipe = load_recipe("ris-cvppp")
    assert recipe.preparation.size == recipe.augmentation.crop_size == (530, 500)
    assert recipe.inference.tile_size >= 530


@pytest.mark.parametrize("name", RSIS_RECIPES + RIS_RECIPES)
def test_every_recipe_of_a_paper_states_its_protocol_and_drops_no_mask_for_what_is_hidden_of_it(name):
    recipe = written(name)
    assert recipe["inference"]["max_hidden"] == 1.0
    rules = ("stop_policy", "stop_threshold", "mask_threshold", "min_area_fraction")
    small = 0.001 if name in VOC_RECIPES else 0.0  # the released evaluation of RSIS on Pascal alone
    assert [recipe["model"]["config"][rule] for rule in rules] == ["first", 0.5, 0.5, small]
    inference = load_recipe(name).inference
    assert (inference.min_area, inference.solid) == (1, False)


@pytest.mark.parametrize("name", RSIS_RECIPES + RIS_RECIPES)
def test_overlaps_are_kept_where_masks_are_ranked_and_go_to_the_earlier_in_label_maps_and_in_ris(name):
    keeps = name in VOC_RECIPES or name == "rsis-cityscapes"
    assert written(name)["inference"]["overlaps"] == ("keep" if keeps else "earlier")


@pytest.mark.parametrize(("name", "areas"), [("rsis-voc", [1200, 1200, 1200]), ("rsis-cvppp", [1200, 300])])
def test_repeated_masks_are_cut_or_kept_whole_as_the_recipe_says(name, areas):
    settings = load_recipe(name).inference
    masks = [Instance((0, 0, 30, 40), np.ones((30, 40), dtype=bool))] * 2
    masks.append(Instance((0, 10, 30, 50), np.ones((30, 40), dtype=bool)))
    left = resolve_overlaps(masks, (30, 50), settings.overlaps, settings.max_hidden, settings.min_area, settings.solid)
    assert [one.area for one in left] == areas


# --- DIN ----------------------------------------------------------------------------------------------------------------------------

DIN_RECIPES = [name for name in names() if name.startswith("din-")]


def write_boxes(path, spec):
    """The true boxes of a source as COCO results."""
    source = open_source(spec)
    rows = []
    for index in range(len(source)):
        for one in source.read(index).instances():
            y0, x0, y1, x1 = (int(edge) for edge in one.box)
            bbox = [x0, y0, x1 - x0, y1 - y0]
            rows.append({"image_id": source.name(index), "category_id": one.class_id, "bbox": bbox, "score": 0.9})
    path.write_text(json.dumps(rows))
    return path


def made_small_din(name, data, folder):
    """The recipe with the data of the test, true boxes in files, an iteration a stage, and everything smaller."""
    recipe = load_recipe(name)
    crop = [64, 64 * recipe.augmentation.crop_size[1] // recipe.augmentation.crop_size[0]]
    pyramid = recipe.model.config["fcn"] == "pyramid"
    size = ["encoder=test_resnet", "pyramid_channels=8"] if pyramid else ["fc_channels=8"]
    small = load_recipe(
        name,
        [
            f"data.source={data['source']}",
            f"data.test={data['test']}",
            f"data.boxes={write_boxes(folder / 'train.json', data['source'])}",
            f"data.test_boxes={write_boxes(folder / 'test.json', data['test'])}",
            "data.num_validation=1",
            *(f"stages.{number}.iterations=1" for number in range(len(recipe.stages))),
            f"augmentation.crop_size={crop}",
            f"preparation.longest_side={max(crop)}",
            "inference.tile_size=128",
            "inference.overlap=16",
            *(f"model.config.{setting}" for setting in size),
            "model.config.templates_per_bin=2",
            "model.config.template_side=8",
            "model.config.iterations=1",
            "model.config.training_iterations=1",
            "validation.num_batches=1",
            "validation.num_images=1",
            "runtime.batch_size=2",
            "runtime.num_workers=0",
        ],
    )
    config = {key: value for key, value in small.model.config.items() if key != "encoder_weights"}
    return small.model_copy(update={"model": small.model.model_copy(update={"config": config})})


@pytest.mark.parametrize("name", DIN_RECIPES)
def test_a_recipe_of_din_runs_through_its_stages(name, voc, streets, tmp_path):
    sbd = voc["source"].partition("+")[0]
    data = {
        "din-voc": voc,
        "din-sbd": {"source": f"{sbd}@train", "test": f"{sbd}@val"},
        "din-cityscapes": streets,
    }[name]
    recipe = made_small_din(name, data, tmp_path)
    torch.set_num_threads(1)
    folder = train(recipe, tmp_path / "run", device="cpu")
    log = [json.loads(line) for line in folder.log_path.read_text().splitlines()]
    terms = [sorted({"semantic", "instance", "iou"} & set(line)) for line in log if "total" in line]
    assert terms == [["semantic"], ["instance"], ["instance"]]
    assert all(math.isfinite(line["total"]) for line in log if "total" in line)
    assert all("boxes" not in line for line in log)  # validation images have those of the file
    protocol = recipe.validation.protocol
    scores = evaluate_model(load(tmp_path / "run", "cpu"), open_splits(recipe.data).test, [protocol])[protocol]
    assert set(scores["per_class"])


@pytest.mark.parametrize("name", DIN_RECIPES)
def test_din_is_trained_with_the_numbers_of_the_paper(name):
    recipe = load_recipe(name)
    semantic, piecewise, whole = resolve_stages(recipe)
    assert (recipe.optimizer.name, recipe.optimizer.momentum, recipe.optimizer.clip_norm) == ("sgd", 0.9, 4000)
    assert (semantic.batch_size, semantic.rate("head")) == (8 if name == "din-cityscapes" else 20, 2.5e-3)
    assert [(stage.batch_size, stage.rate("instance_crf")) for stage in (piecewise, whole)] == [(1, 2.5e-7)] * 2
    for group in ("encoder", "head", "semantic_crf"):
        assert (piecewise.rate(group), whole.rate(group)) == (0, 2.5e-7)
    assert all(stage.weights.detections == "given" for stage in (semantic, piecewise, whole))
    assert (recipe.model.config["training_iterations"], recipe.model.config["iterations"]) == (5, 10)


# --- R2-IOS -------------------------------------------------------------------------------------------------------------------------

R2IOS_RECIPES = [name for name in names() if name.startswith("r2ios-")]


@pytest.mark.parametrize("name", R2IOS_RECIPES)
def test_a_recipe_of_r2ios_runs_through_its_stages(name, voc, tmp_path):
    sbd = voc["source"].partition("+")[0]
    data = voc if name == "r2ios-voc" else {"source": f"{sbd}@train", "test": f"{sbd}@val"}
    small = load_recipe(
        name,
        [
            f"data.source={data['source']}",
            f"data.test={data['test']}",
            f"data.boxes={write_boxes(tmp_path / 'train.json', data['source'])}",
            f"data.test_boxes={write_boxes(tmp_path / 'test.json', data['test'])}",
            "data.num_validation=1",
            *(f"stages.{number}.iterations=1" for number in range(2)),
            "augmentation.crop_size=[64, 64]",
            "preparation.longest_side=64",
            *(f"model.config.{setting}" for setting in ("fc_channels=8", "mask_channels=8", "mask_side=6", "hidden=4")),
            "validation.num_batches=1",
            "validation.num_images=1",
            "runtime.num_workers=0",
        ],
    )
    config = {key: value for key, value in small.model.config.items() if key != "encoder_weights"}
    recipe = small.model_copy(update={"model": small.model.model_copy(update={"config": config})})
    torch.set_num_threads(1)
    folder = train(recipe, tmp_path / "run", device="cpu")
    log = [json.loads(line) for line in folder.log_path.read_text().splitlines()]
    losses = [line for line in log if "total" in line]
    assert [line["stage"] for line in losses] == ["without the gate", "with the gate"]
    for line in losses:
        assert line["total"] == pytest.approx(line["classification"] + line["location"] + line["segmentation"])
        assert math.isfinite(line["total"])
    protocol = recipe.validation.protocol
    scores = evaluate_model(load(tmp_path / "run", "cpu"), open_splits(recipe.data).test, [protocol])[protocol]
    assert set(scores["per_class"])


@pytest.mark.parametrize("name", R2IOS_RECIPES)
def test_r2ios_is_trained_with_the_numbers_of_the_paper(name):
    recipe = load_recipe(name)
    first, second = resolve_stages(recipe)
    assert [(stage.iterations, stage.weights.gate) for stage in (first, second)] == [(120_000, False), (100_000, True)]
    assert {stage.rate(group) for stage in (first, second) for group in ("encoder", "fc", "masks", "outputs")} == {1e-4}
    weights = second.weights
    assert (weights.proposals, weights.foreground_fraction, weights.foreground_iou) == (64, 0.25, 0.5)
    config = recipe.model.config
    assert (config["mask_side"], config["hidden"], config["box_side"], config["num_refinements"]) == (40, 512, 7, 4)
    assert recipe.runtime.batch_size == 1
