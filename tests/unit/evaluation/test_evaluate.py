import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from seriatim.core.errors import ConfigError, DataError
from seriatim.core.instances import Instance, Instances
from seriatim.data.readers.coco import CocoSource
from seriatim.data.readers.folder import FolderSource
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.data.subsets import Subset
from seriatim.evaluation.evaluate import evaluate_model, evaluate_predictions, in_all_classes, make_example
from seriatim.evaluation.predictions import open_predictions
from seriatim.inference.predictor import Predictor
from seriatim.metrics import PROTOCOLS, evaluate
from seriatim.metrics.coco import KEYS

from ..conftest import describe, paint_discs


@pytest.fixture
def source(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for name, centres in (("one", [(20, 20), (60, 70)]), ("two", [(30, 50)]), ("none", [])):
        labels = paint_discs((90, 100), centres, 12)
        Image.fromarray((labels > 0).astype(np.uint8) * 255).save(tmp_path / "data" / "images" / f"{name}.png")
        Image.fromarray(labels.astype(np.uint16)).save(tmp_path / "data" / "labels" / f"{name}.png")
    return FolderSource(tmp_path / "data")


def test_a_perfect_model_scores_perfectly(oracle, source):
    calls = []
    predictor = Predictor(oracle, describe({}))
    scores = evaluate_model(predictor, source, ["nuclei", "cvppp"], lambda done, total: calls.append((done, total)))
    assert scores["nuclei"]["AP"][0.9] == 1.0
    assert scores["nuclei"]["PQ"] == 1.0
    assert scores["cvppp"]["DiC"]["mean"] == 0.0
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_label_maps_of_the_truth_score_perfectly(source):
    assert (
        evaluate_predictions(open_predictions(source.folder / "labels", source), source, ["nuclei"]).scores["nuclei"][
            "AP"
        ][0.5]
        == 1.0
    )


def test_label_maps_are_found_by_stem_and_known_endings(source, tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    (maps / "one.labels.png").write_bytes((source.folder / "labels" / "one.png").read_bytes())
    (maps / "one.png").write_bytes(b"the image itself, say")
    (maps / "two.png").write_bytes((source.folder / "labels" / "two.png").read_bytes())
    Image.fromarray(np.zeros((90, 100), dtype=np.uint16)).save(maps / "none.tif")
    assert evaluate_predictions(open_predictions(maps, source), source, ["nuclei"]).scores["nuclei"]["AP"][0.5] == 1.0


def test_a_missing_label_map_is_named(source, tmp_path):
    (tmp_path / "maps").mkdir()
    with pytest.raises(DataError, match="no label map for none, one, two"):
        evaluate_predictions(open_predictions(tmp_path / "maps", source), source, ["nuclei"])
    with pytest.raises(DataError, match="no such folder"):
        evaluate_predictions(open_predictions(tmp_path / "nowhere", source), source, ["nuclei"])


def test_a_label_map_of_another_size_is_named(source):
    Image.fromarray(np.zeros((5, 6), dtype=np.uint16)).save(source.folder / "labels" / "one.labels.png")
    with pytest.raises(DataError, match=r"one\.labels\.png: is 5 x 6 pixels, the truth 90 x 100"):
        evaluate_predictions(open_predictions(source.folder / "labels", source), source, ["nuclei"])


def test_an_unknown_protocol_is_refused_before_any_work(oracle, source):
    with pytest.raises(ConfigError, match="did you mean 'nuclei'"):
        evaluate_model(Predictor(oracle, describe({})), source, ["nucleii"])
    assert oracle.num_encoded == 0


class Fixed:
    """Gives what it was given."""

    def __init__(self, found, class_names=()):
        self.found, self.class_names = found, class_names

    def find(self, index, sample):
        return self.found[index]


@pytest.fixture
def scene():
    """Three overlapping discs of two classes, a crowd, and predictions that overlap."""
    discs = [paint_discs((60, 80), [centre], 14) for centre in ((20, 20), (25, 34), (44, 60))]
    objects = Instances(
        (60, 80),
        [replace(Instances.from_label_map(disc)[0], class_id=k) for disc, k in zip(discs, (1, 2, 1), strict=True)],
    )
    crowd = replace(Instances.from_label_map(paint_discs((60, 80), [(50, 20)], 9))[0], class_id=2)
    labels = discs[0] * 1
    labels[(discs[1] > 0) & (labels == 0)] = 2
    labels[discs[2] > 0] = 3
    ignore = (Instances((60, 80), [crowd]).label_map() > 0) & (labels == 0)
    sample = Sample(
        "scene",
        np.zeros((3, 60, 80), dtype=np.float32),
        labels,
        objects.class_ids,
        ignore,
        objects,
        Instances((60, 80), [crowd]),
    )
    preds = Instances(
        (60, 80), [*(replace(one, score=0.5 + k / 10) for k, one in enumerate(objects)), replace(crowd, score=0.9)]
    )
    return sample, preds


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_overlapping_truth_and_crowds_reach_every_protocol(scene, protocol):
    sample, preds = scene
    example = make_example(sample, preds, np.arange(3))
    if protocol == "coco":
        assert evaluate([example], protocol)["AP"] == pytest.approx(1.0)
    assert (example.void == sample.ignore).all()
    if protocol == "cityscapes":
        assert evaluate([example], protocol)["per_class"][2]["AP50"] == 1.0


def test_distances_reach_cityscapes_beside_crowds(scene):
    sample, preds = scene
    near = replace(sample, distances=np.array([10.0, 20.0, 30.0]), distance_confidences=np.ones(3))
    example = make_example(near, preds, np.arange(3))
    assert example.target_distances is not None
    assert example.with_crowds_labelled().target_distances.tolist() == [10.0, 20.0, 30.0, np.inf]
    assert example.with_crowds_labelled().target_distance_confidences.tolist() == [1.0, 1.0, 1.0, 0.0]


class One(Source):
    """A data set of one sample."""

    def __init__(self, sample, class_names):
        self.sample, self.class_names = sample, class_names

    def __len__(self):
        return 1

    def name(self, index):
        return self.sample.name

    def read(self, index):
        return self.sample


def test_predictions_without_classes_are_judged_as_of_one_class(scene):
    sample, preds = scene
    nameless = Instances(preds.size, [replace(one, class_id=0) for one in preds])
    found = evaluate_predictions(Fixed([nameless]), One(sample, ("cat", "dog")), ["coco", "matching_iou"])
    assert not found.judges_classes
    assert found.scores["coco"]["AP"] == pytest.approx(1.0)
    named = evaluate_predictions(Fixed([preds], ("dog", "cat")), One(sample, ("cat", "dog")), ["coco"])
    assert named.judges_classes
    assert named.scores["coco"]["AP"] == 0.0


def test_every_protocol_says_something_of_every_image(source, oracle):
    scores = evaluate_model(Predictor(oracle, describe({})), source, list(PROTOCOLS))
    for result in scores.values():
        assert [rating["name"] for rating in result["per_image"]] == ["none", "one", "two"]
        assert [rating["targets"] for rating in result["per_image"]] == [0, 2, 1]
        assert {rating["quality"] for rating in result["per_image"]} <= {1.0, None}


def test_intervals_come_only_when_asked_for(source):
    predictions = open_predictions(source.folder / "labels", source)
    assert "interval" not in evaluate_predictions(predictions, source, ["nuclei"]).scores["nuclei"]
    found = evaluate_predictions(predictions, source, ["nuclei"], num_resamples=10)
    assert found.scores["nuclei"]["interval"]["AP"][0.5] == [1.0, 1.0]
    assert found.kept == []


def test_no_image_is_an_error(source):
    with pytest.raises(DataError, match="no images"):
        evaluate_predictions(Fixed([]), Subset(source, []), ["nuclei"])


@pytest.fixture
def coco(tmp_path):
    """A COCO file in an order that is not that of its ids, with objects that overlap, hide others, and crowds; and results for it."""
    rng = np.random.default_rng(3)
    images, annotations, results = [], [], []
    for image_id in rng.permutation(12).tolist():
        Image.new("L", (80, 60)).save(tmp_path / f"{image_id}.png")
        images.append({"id": image_id, "file_name": f"{image_id}.png", "height": 60, "width": 80})
        for _ in range(int(rng.integers(1, 7))):
            centre, radius = rng.integers((5, 5), (55, 75)), int(rng.integers(2, 24))
            one = Instances.from_label_map(paint_discs((60, 80), [centre], radius))
            truth = one.to_coco(image_id, len(annotations) + 1)[0]
            truth["category_id"], truth["iscrowd"] = int(rng.choice([3, 7])), int(rng.random() < 0.2)
            truth["area"] *= float(
                rng.choice([0.3, 1.0, 4.0])
            )  # polygons of real files have other areas than their pixels
            annotations.append(truth)
            if rng.random() < 0.2:
                annotations.append({**truth, "id": len(annotations) + 1, "iscrowd": 0})
            for _ in range(int(rng.integers(0, 4))):
                moved = Instances.from_label_map(paint_discs((60, 80), [centre + rng.integers(-2, 3, 2)], radius))
                found = moved.to_coco(image_id)[0]
                found["category_id"] = truth["category_id"] if rng.random() < 0.8 else 7
                found["score"] = float(rng.choice([0.2, 0.4, 0.6, 0.8]))
                results.append({key: found[key] for key in ("image_id", "category_id", "segmentation", "score")})
    categories = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
    truth = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results))
    return tmp_path / "truth.json", tmp_path / "results.json"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with numpy 2
def test_coco_results_score_as_pycocotools_scores_them(coco):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(coco[0]))
        evaluator = COCOeval(truth, truth.loadRes(str(coco[1])), "segm")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    source = CocoSource(coco[0])
    found = evaluate_predictions(open_predictions(coco[1], source), source, ["coco", "sds"])
    assert [found.scores["coco"][key] for key in KEYS] == pytest.approx(evaluator.stats.tolist(), abs=1e-6)
    assert found.names == sorted(found.names, key=int)
    assert [source.name(index) for index in found.indices] == found.names


def test_a_part_of_a_coco_file_is_scored_by_its_own_images(coco):
    source = CocoSource(coco[0])
    part = Subset(source, [4, 2])
    found = evaluate_predictions(open_predictions(coco[1], part), part, ["coco"], keep=True)
    assert sorted(found.names) == sorted([source.name(4), source.name(2)])
    assert [len(kept) for kept in found.kept] == found.num_preds


# --- every mask in every class ----------------------------------------------------------------------------------------------------


@pytest.fixture
def unsure():
    """A data set of one image with a cat and a dog, and a model that takes the dog for a cat by a narrow margin."""

    class Pets(Source):
        class_names = ("cat", "dog")

        def __len__(self):
            return 1

        def name(self, index):
            return "pets"

        def read(self, index):
            labels = np.zeros((20, 40), dtype=np.int32)
            labels[4:12, 4:12], labels[4:12, 24:32] = 1, 2
            return Sample("pets", np.zeros((3, 20, 40), np.float32), labels, np.array([1, 2]))

    boxes, probs, presence = ((4, 4, 12, 12), (4, 24, 12, 32)), ((0.8, 0.2), (0.6, 0.4)), (0.5, 0.9)
    found = [
        Instance(box, np.ones((8, 8), dtype=bool), there * max(of), 1, np.array(of), step)
        for step, (box, of, there) in enumerate(zip(boxes, probs, presence, strict=True))
    ]
    return Pets(), Fixed([Instances((20, 40), found)], ("cat", "dog"))


def test_a_mask_counts_once_for_each_class_with_presence_times_the_probability_of_the_class(unsure):
    judged = in_all_classes(unsure[1].found[0])
    assert [one.class_id for one in judged] == [1, 2, 1, 2]
    assert judged.scores == pytest.approx([0.5 * 0.8, 0.5 * 0.2, 0.9 * 0.6, 0.9 * 0.4])
    assert [one.step for one in judged] == [0, 0, 1, 1]
    assert [one.box for one in judged] == [(4, 4, 12, 12)] * 2 + [(4, 24, 12, 32)] * 2


def test_a_mask_of_the_wrong_class_is_still_found_when_all_classes_are_scored(unsure):
    source, model = unsure
    best, every = (
        evaluate_predictions(model, source, ["sds"], keep=True, all_classes=all_classes)
        for all_classes in (False, True)
    )
    at_half = [scores.scores["sds"]["per_class"] for scores in (best, every)]
    assert [of[1][4] for of in at_half] == [0.5, 0.5]  # the dog, taken for a cat, is ranked before the cat
    assert [of[2][4] for of in at_half] == [0.0, 1.0]
    assert (every.num_preds, len(every.kept[0])) == (best.num_preds, len(best.kept[0])) == ([2], 2)


def test_scoring_all_classes_is_refused_where_it_has_no_meaning(unsure):
    pets, model = unsure
    with pytest.raises(ConfigError, match="--all-classes: proposals does not rank the masks of each class"):
        evaluate_predictions(model, pets, ["sds", "proposals"], all_classes=True)
    with pytest.raises(ConfigError, match="none of the classes of the data"):
        evaluate_predictions(Fixed(model.found, ("car", "bus")), pets, ["sds"], all_classes=True)
    blind = Fixed([Instances((20, 40), [replace(one, class_probs=None) for one in model.found[0]])], model.class_names)
    with pytest.raises(ConfigError, match="no class probabilities"):
        evaluate_predictions(blind, pets, ["sds"], all_classes=True)
