"""The models that ship: they load, are small enough, say what they are, and still find what they found when they were released."""

from pathlib import Path

import numpy as np
import pytest
from skimage import data

import seriatim
from seriatim.core.tensor_files import read_metadata
from seriatim.data.catalogue import open_source
from seriatim.data.subsets import Subset
from seriatim.evaluation.evaluate import evaluate_model
from seriatim.inference.model_folder import CONFIG_KEY, read_description
from seriatim.inference.zoo import WEIGHTS_NAME, find_model_folder, zoo_names
from seriatim.training.recipe import load_recipe
from seriatim.training.splits import open_splits

NUCLEI = Path(__file__).parents[3] / "shared" / "data" / "nuclei"


@pytest.mark.parametrize(
    "name", ["leaves", "leaves-ris", "leaves-ris-plain", "leaves-rsis-plain", "nuclei", "nuclei-ris", "scenes"]
)
def test_a_model_is_small_and_its_card_names_data_scores_and_limits(name):
    assert name in zoo_names()
    folder = find_model_folder(name)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 25e6
    card = (folder / "card.md").read_text()
    for word in ("## Data", "## Scores", "## Limits", "seriatim train", "seriatim evaluate"):
        assert word in card


@pytest.mark.parametrize(("name", "crf"), [("leaves", False), ("leaves-ris", False), ("leaves-ris", True)])
def test_leaves_of_fresh_plants_are_found(name, crf):
    predictor = seriatim.load(name, device="cpu", crf=crf)
    scores = evaluate_model(predictor, open_source("rosettes:3"), ["cvppp"])["cvppp"]
    assert scores["SBD"]["mean"] > 0.8
    assert scores["absDiC"]["mean"] <= 2


def test_objects_of_several_classes_are_found_in_fresh_scenes():
    predictor = seriatim.load("scenes", device="cpu")
    assert predictor.class_names == ("person", "car", "dog", "bird", "tree")
    assert evaluate_model(predictor, open_source("scenes:15"), ["coco"])["coco"]["AP50"] > 0.4


def test_an_empty_image_holds_no_nuclei():
    assert len(seriatim.load("nuclei", device="cpu").predict(np.zeros((120, 150), dtype=np.uint8))) == 0


@pytest.mark.data
@pytest.mark.parametrize("name", ["nuclei", "nuclei-ris"])
def test_nuclei_that_training_never_saw_are_found(name):
    if not NUCLEI.is_dir():
        pytest.skip(f"the nuclei images are not at {NUCLEI}")
    data = load_recipe(name).data.model_copy(update={"source": f"folder:{NUCLEI}"})
    images = Subset(open_splits(data).test, range(12))
    scores = evaluate_model(seriatim.load(name, device="cpu"), images, ["nuclei"])["nuclei"]
    assert scores["AP"][0.5] > 0.6


def test_the_object_at_each_point_is_found_in_the_order_of_the_points():
    image = data.coins()
    predictor = seriatim.load("nuclei", "cpu")
    labels = predictor.predict(image).label_map()
    points = np.array([np.argwhere(labels == number).mean(axis=0) for number in range(1, labels.max() + 1)])[::-1]
    found = predictor.predict(image, points=points)
    assert [one.step for one in found] == list(range(len(points)))
    for one, (y, x) in zip(found, points, strict=True):
        truth = labels == labels[int(y), int(x)]
        mask = np.zeros_like(truth)
        mask[one.box[0] : one.box[2], one.box[1] : one.box[3]] = one.mask
        assert (mask & truth).sum() / (mask | truth).sum() > 0.8


@pytest.mark.parametrize("name", zoo_names())
def test_the_digest_of_the_weights_covers_the_config(name):
    assert CONFIG_KEY in read_metadata(find_model_folder(name) / WEIGHTS_NAME)
    read_description(find_model_folder(name))
