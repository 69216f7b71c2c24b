"""The papers' claims: the rules judge as they say, a claim goes from its records to the table, and nothing is invented where no run is."""

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from seriatim.core.errors import ConfigError
from seriatim.core.instances import Instances
from seriatim.data.samples import Sample
from seriatim.inference.model_folder import ModelDescription
from seriatim.inference.predictor import Predictor
from seriatim.models import catalogue
from seriatim.models.guidance import DenseMaps, prepare
from seriatim.models.guidance_training import dense_targets

ROOT = Path(__file__).parents[2]
TINY = (
    "model.config.encoder=test_resnet",
    "model.config.width=8",
    "stages.0.iterations=1",
    "stages.1.iterations=1",
    "stages.2.iterations=1",
    "runtime.batch_size=2",
    "data.num_validation=2",
    "runtime.precision=32-true",
)


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    """The modules of the benchmarks can be imported, and are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(ROOT / "benchmarks")):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("relation", "interval", "verdict"),
    [
        ("better", (0.001, 0.2), "holds"),
        ("better", (0.0, 0.2), "undecided"),
        ("better", (-0.2, -0.001), "does not hold here"),
        ("not better", (-0.2, 0.02), "holds"),
        ("not better", (-0.2, 0.03), "undecided"),
        ("not better", (0.001, 0.01), "does not hold here"),
        ("equal", (-0.02, 0.02), "holds"),
        ("equal", (-0.03, 0.01), "undecided"),
        ("equal", (0.03, 0.1), "does not hold here"),
        ("equal", (-0.1, -0.03), "does not hold here"),
    ],
)
def test_an_interval_is_judged_by_the_side_on_which_it_lies(relation, interval, verdict):
    from paper_claims.rules import judge

    assert judge(interval, relation, 0.0 if relation == "better" else 0.02) == verdict


def test_a_claim_holds_if_all_its_comparisons_do_and_fails_with_one():
    from paper_claims.rules import combine

    assert combine(["holds", "holds"]) == "holds"
    assert combine(["holds", "undecided"]) == "undecided"
    assert combine(["undecided", "does not hold here"]) == "does not hold here"
    assert combine(["does not hold here", "not measured"]) == "not measured"


def test_the_interval_covers_what_differs_between_images_and_between_seeds():
    from paper_claims.rules import interval_over_seeds

    images, seeds = np.tile(np.arange(20.0), (3, 1)), np.repeat([[0.0], [1.0], [2.0]], 20, axis=1)
    low, high = interval_over_seeds(images)
    assert low < 8 < 9.5 < 11 < high
    low, high = interval_over_seeds(seeds)
    assert (low, high) == (0.0, 2.0)


def test_every_claim_names_variants_conditions_and_settings_that_there_are(tmp_path, monkeypatch):
    from paper_claims import boxes, din, refined, runs, trained

    from seriatim.training.stages import make_optimizer, resolve_stages

    monkeypatch.setattr(runs, "training_source", lambda name, work, count: f"folder:{tmp_path}")
    claims = [*trained.CLAIMS, *refined.R2IOS_CLAIMS, *trained.GUIDANCE_CLAIMS, *din.CLAIMS]
    assert len({claim.name for claim in claims}) == len(claims)
    for claim in claims:
        for comparison in claim.comparisons:
            for arm in comparison.arms:
                name, _, condition = arm.partition(" / ")
                assert not condition or condition in claim.variants[name].conditions
            if claim in din.CLAIMS:
                assert comparison.measure in boxes.MEASURES
        for variant in claim.variants.values():
            recipe = runs.recipe_of(variant, 1, tmp_path)
            resolve_stages(recipe)
            catalogue.entry(recipe.model.name).config.parse(recipe.model.config)
            if claim in din.CLAIMS:
                make_optimizer(catalogue.build("din", recipe.model.config, seed=0), recipe)


def test_the_name_of_a_run_stays_when_the_library_gets_a_setting(tmp_path, monkeypatch):
    from paper_claims import runs, trained

    monkeypatch.setattr(runs, "training_source", lambda name, work, count: f"folder:{tmp_path}")
    assert runs.key_of(trained.RSIS, 0, tmp_path) == "387b950989ee4955"  # of before `optimizer.momentum`, for one
    changed = replace(trained.RSIS, settings=("optimizer.weight_decay=0.5",))
    assert runs.key_of(changed, 0, tmp_path) != runs.key_of(trained.RSIS, 0, tmp_path)


def test_each_training_is_made_once_with_all_its_conditions():
    from paper_claims import din
    from paper_claims.trained import CLAIMS, GUIDANCE_CLAIMS, RSIS, variants_of

    found = [variant for _, variant in variants_of([*CLAIMS, *GUIDANCE_CLAIMS, *din.CLAIMS])]
    trainings = [(variant.base, variant.images, variant.settings, variant.begin) for variant in found]
    assert len(set(trainings)) == len(trainings)
    assert din.SEMANTIC in found
    assert next(one for one in found if one.base == "din" and one.begin and not one.settings) == din.WHOLE
    assert next(one for one in found if one.settings == () and one.base == "rsis" and one.images == "few") == RSIS


TABLE_2 = {
    **{f"recursive {count}": (count, None, False, "autoencoder", True) for count in (1, 2, 3, 4)},
    "recursive only testing": (4, 1, False, "autoencoder", True),
    "without autoencoder": (4, None, True, "none", True),
    "fully without autoencoder": (4, None, True, "fully_connected", True),
    "without segmentation-aware": (4, None, True, "autoencoder", False),
    "R2-IOS": (4, None, True, "autoencoder", True),
}


def test_the_variants_of_r2ios_are_the_nine_rows_of_table_2_and_each_is_trained_once(tmp_path, monkeypatch):
    from paper_claims import refined, runs
    from paper_claims.trained import variants_of

    from seriatim.training.stages import resolve_stages

    monkeypatch.setattr(runs, "training_source", lambda name, work, count: f"folder:{tmp_path}")
    variants = {name: variant for claim in refined.R2IOS_CLAIMS for name, variant in claim.variants.items()}
    assert set(variants) == set(TABLE_2)
    assert len(variants_of(refined.R2IOS_CLAIMS)) == 9
    for name, variant in variants.items():
        recipe = runs.recipe_of(variant, 0, tmp_path)
        config = catalogue.entry("r2ios").config.parse(recipe.model.config)
        row = (config.num_refinements, config.training_refinements, config.gate, config.rebuilding)
        assert (*row, config.segmentation_aware) == TABLE_2[name]
        assert [stage.weights.gate for stage in resolve_stages(recipe)] == [False, config.gate]


def test_a_tiny_r2ios_is_trained_and_measured_on_the_same_proposals_every_time(tmp_path):
    from paper_claims import refined, runs
    from paper_claims.images import fresh_images
    from paper_claims.measures import proposals_of

    sample = fresh_images("scenes", 2).read(1)
    first, again, other = (proposals_of(sample, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.edges, again.edges)
    assert not np.array_equal(first.edges, other.edges)
    assert len(sample.classes) * 4 < len(first) <= len(sample.classes) * 8 + 1
    size = runs.Size(
        4,
        2,
        (
            "model.config.encoder=test_resnet",
            "stages.0.iterations=1",
            "stages.1.iterations=1",
            "runtime.batch_size=1",
            "data.num_validation=1",
            "model.config.min_score=0",
        ),
    )
    claim = refined.R2IOS_CLAIMS[0]
    variant = replace(claim.variants["recursive 1"])
    numbers = runs.carry_out(variant, 0, tmp_path, size, lambda text: None)
    assert set(numbers["conditions"]) == {"undisturbed"}
    assert len(numbers["conditions"]["undisturbed"]["AP50"]) == 2
    assert min(numbers["conditions"]["undisturbed"]["predicted"]) > 0
    assert runs.known(variant, 0, tmp_path, size) == numbers


def test_trainings_that_have_learned_too_little_are_not_compared():
    from paper_claims.trained import Comparison, compare

    def run(value):
        return {"conditions": {"undisturbed": {"AP50": [value] * 8}}}

    def verdict_of(first, second):
        return compare(Comparison("a", "b"), {"a": [run(first)] * 3, "b": [run(second)] * 3})["verdict"]

    assert verdict_of(0.06, 0.01) == "holds"
    assert verdict_of(0.04, 0.01) == "undecided"


def test_objects_that_no_mask_covers_count_against_iou_and_recall():
    from paper_claims.measures import mean_iou, recall

    from seriatim.evaluation.evaluate import make_example

    labels = np.array([[1, 1, 2, 2]], dtype=np.int32)
    sample = Sample.of_one_class("a", np.zeros((3, 1, 4), dtype=np.float32), labels)
    found = Instances.from_label_map(np.array([[1, 0, 2, 2]]))
    example = make_example(sample, found, None)
    assert mean_iou(example) == 0.75
    assert recall(example) == 0.5
    nothing = make_example(sample, Instances((1, 4)), None)
    assert (mean_iou(nothing), recall(nothing)) == (0, 0)


def test_a_tiny_claim_goes_from_its_record_to_the_table_and_is_not_trained_again(tmp_path, monkeypatch, capsys):
    from paper_claims import runs, tables, trained

    command = runpy.run_path(str(ROOT / "benchmarks" / "claims.py"), run_name="claims")
    claim = trained.Claim(
        "tiny",
        "a paper",
        "skips help",
        {"concat": trained.rsis(), "none": trained.rsis("model.config.skip_mode=none")},
        (trained.Comparison("concat", "none"),),
    )
    size = runs.Size(training=6, test=3, settings=TINY)
    before = trained.conclude(claim, 2, tmp_path, size)
    assert (before["verdict"], before["runs_done"], before["runs_needed"]) == ("not measured", 0, 4)
    assert "0 of 4 runs" in "\n".join(tables.claims({"claims": {"tiny": before}}))

    command["make_runs"]([claim], 2, tmp_path, size)
    assert capsys.readouterr().out.count("done in") == 4
    found = json.loads(json.dumps(trained.conclude(claim, 2, tmp_path, size)))
    assert found["verdict"] in ("holds", "does not hold here", "undecided")
    assert len(found["comparisons"][0]["of_seeds"]) == 2
    assert set(found["arms"]) == {"concat", "concat / true count", "none", "none / true count"}
    assert 2 <= found["arms"]["concat"]["true"] <= 4
    table = "\n".join(tables.claims({"claims": {"tiny": found}}))
    assert f"**{found['verdict']}**" in table
    assert len(tables.trainings({"claims": {"tiny": found}})) == 2 + 4

    monkeypatch.setattr(runs, "train", None)
    command["make_runs"]([claim], 2, tmp_path, size)
    assert capsys.readouterr().out == ""


def pooled(value, spread=0.0):
    """A number of all images and of 99 draws of them, as `boxes.py` keeps it."""
    return {"value": value, "drawn": [value + spread * (number % 3 - 1) for number in range(99)]}


def test_a_number_of_all_images_is_compared_draw_by_draw_and_seed_by_seed():
    from paper_claims.trained import Comparison, compare

    def run(name, number, other):
        return {"conditions": {"undisturbed": {"AP": pooled(number, 0.3), "low": pooled(other, 0.3)}, name: {}}}

    runs = {"a": [run("x", 0.5, 0.9), run("x", 0.7, 0.9)], "b": [run("x", 0.4, 0.3), run("x", 0.4, 0.3)]}
    found = compare(Comparison("a", "b", measure="AP"), runs)
    assert found["of_seeds"] == [0.1, 0.3]
    assert found["interval"] == [0.1, 0.3], "the draws are the same, so that they cancel out, and the seeds stay"
    less = compare(Comparison("a", "b", measure="AP", less=Comparison("a", "b", measure="low")), runs)
    assert less["text"] == "(a - b) - (a - b, low)"
    assert less["of_seeds"] == [-0.5, -0.3]
    assert less["verdict"] == "does not hold here"


def test_false_boxes_come_on_top_of_the_same_moved_boxes():
    from paper_claims.boxes import boxes_of, fill_boxes

    labels = np.zeros((20, 20), dtype=np.int32)
    labels[2:9, 3:10], labels[11:18, 8:19] = 1, 2
    sample = Sample("a", np.zeros((3, 20, 20), dtype=np.float32), labels, np.array([2, 1]))
    none, some = boxes_of(sample, 5, 0.0, 3), boxes_of(sample, 5, 2.0, 3)
    assert torch.equal(some.boxes[:2], none.boxes)
    assert len(none.boxes) == 2
    assert len(some.boxes) >= 6
    assert 0 < float(none.scores.min()) < 1, "they are moved"
    filled = fill_boxes(some, sample)
    assert list(filled.scores) == sorted(filled.scores, reverse=True)
    assert all(one.mask.all() for one in filled)


TINY_DIN = (
    "stages.0.iterations=1",
    "runtime.batch_size=1",
    "data.num_validation=2",
    "model.config.templates_per_bin=1",
    "model.config.template_side=4",
    "model.config.pyramid_channels=4",
)


def test_a_tiny_claim_of_din_begins_with_one_semantic_network_and_goes_to_the_table(tmp_path, capsys):
    from paper_claims import din, runs, tables, trained

    command = runpy.run_path(str(ROOT / "benchmarks" / "claims.py"), run_name="claims")
    conditions = ("0 false", "0 false, boxes alone")
    variants = {
        "box": din.BOX,
        "whole, piecewise": replace(din.WHOLE_PIECEWISE, conditions=conditions),
        "before": din.SEMANTIC,
    }
    comparisons = (
        trained.Comparison("whole, piecewise", "before", measure="semantic IoU"),
        trained.Comparison("whole, piecewise / 0 false", "whole, piecewise / 0 false, boxes alone", measure="AP^r vol"),
        trained.Comparison("box", "before", measure="AP^r vol"),
    )
    claim = trained.Claim("tiny", "a paper", "terms help", variants, comparisons)
    size = runs.Size(training=6, test=3, settings=TINY_DIN)
    assert trained.conclude(claim, 1, tmp_path, size)["runs_needed"] == 3
    command["make_runs"]([claim], 1, tmp_path, size)
    assert capsys.readouterr().out.count("done in") == 3
    found = json.loads(json.dumps(trained.conclude(claim, 1, tmp_path, size)))
    assert found["comparisons"][0]["difference"] == 0, "a frozen semantic network says the same as before"
    assert set(found["arms"]) == {
        "box",
        "before",
        "whole, piecewise",
        *(f"whole, piecewise / {one}" for one in conditions),
    }
    assert "semantic IoU" not in found["arms"]["whole, piecewise / 0 false, boxes alone"]
    table = tables.din_trainings({"din": {"tiny": found}})
    assert len(table) == 2 + 5
    assert (
        "| AP^r vol | AP^r low | AP^r high | AP^r 0.5 | AP^r 0.7 | AP^r 0.9 | Matching IoU | semantic IoU |" in table[0]
    )
    assert len(tables.din({"din": {"tiny": found}})) == 2 + 3
    assert tables.din({"claims": {}}) == tables.din_trainings({"claims": {}}) == []


def plant(true, found, sbd, zeroed, crf, stop):
    """What was measured of one plant, as `models.py` keeps it."""

    def scores(value, predicted=found):
        numbers = dict.fromkeys(("AP50", "SBD", "IoU", "recall"), value)
        return {**numbers, "predicted": predicted, "true": true, "-|DiC|": -abs(predicted - true)}

    return {
        "undisturbed": scores(sbd),
        "state zeroed": scores(zeroed, 1),
        "true count": scores(sbd, true),
        "CRF": scores(crf),
        "stop": [[stop if step < true else 1 - stop, step < true] for step in range(true + 1)],
        "unsaturated": 10,
        "inside": 100,
        "pixels": 1000,
        "claimed": 100,
        "contested": 1,
        "order": {"right_to_left": 0.0, "bottom_to_top": -0.7, "large_to_small": 0.1},
        "levels": {"before": {"f4": 0.3, "f0": 0.1}, "after": {"f4": -0.2, "f0": -0.5}},
    }


def judged(rsis, ris):
    from paper_claims import shipped

    rows = {"rsis": rsis, "ris": ris}
    return {name: shipped.conclude_one(claim, rows)["verdict"] for name, claim in shipped.CLAIMS.items()}


def test_models_that_do_what_the_papers_say_pass_every_claim():
    rsis = [plant(true, true, 0.8, 0.1, 0.8, 0.97) for true in range(5, 20)]
    ris = [plant(true, true, 0.6, 0.1, 0.7, 0.97) for true in range(5, 20)]
    assert set(judged(rsis, ris).values()) == {"holds"}


def test_models_that_do_not_fail_them():
    rsis = [plant(true, 30, 0.5, 0.49, 0.5, 0.6) for true in range(5, 20)]
    ris = [plant(true, 2, 0.6, 0.59, 0.5, 0.4) for true in range(5, 20)]
    for one in (*rsis, *ris):
        one |= {"unsaturated": 400, "inside": 500, "contested": 50, "order": {"right_to_left": 0.01}}
        one["levels"] = {"before": {"f4": 0.3, "f0": 0.5}, "after": {"f4": -0.4, "f0": 0.1}}
    verdicts = judged(rsis, ris)
    assert verdicts.pop("crf-keeps-count") == "holds"
    assert set(verdicts.values()) == {"does not hold here"}


def test_a_model_that_finds_too_little_decides_nothing_about_its_order():
    from paper_claims import shipped, tables

    rsis = [plant(true, 0, 0.0, 0.0, 0.0, 0.3) for true in range(5, 20)]
    for one in rsis:
        del one["levels"], one["order"]
    found = shipped.conclude_one(shipped.CLAIMS["order-deepest-most"], {"rsis": rsis, "ris": rsis})
    assert (found["verdict"], found["comparisons"]) == ("undecided", [])
    assert "too little found" in "\n".join(tables.claims({"claims": {"a": found}}))


def test_a_model_that_is_not_there_is_not_measured(tmp_path):
    from paper_claims import models, shipped, tables

    found = shipped.conclude(tmp_path, models.Models("no-such-model", "nor-this"))
    assert {one["verdict"] for one in found.values()} == {"not measured"}
    assert tables.models({"models": shipped.tables(tmp_path, models.Models("no-such-model", "nor-this"))}) == []


@pytest.mark.parametrize(("there", "undecidable"), [("ris", "rsis"), ("rsis", "ris")])
def test_without_one_model_the_claims_about_the_other_alone_are_decided(there, undecidable):
    from paper_claims import shipped

    rows = [plant(true, true, 0.8, 0.1, 0.9, 0.97) for true in range(5, 20)]
    verdicts = judged(**{there: rows, undecidable: None})
    for name, claim in shipped.CLAIMS.items():
        assert verdicts[name] == ("holds" if claim.needs == (there,) else "not measured"), name


def test_a_model_that_does_not_ship_yet_is_left_out_and_a_name_that_is_wrong_is_refused(tmp_path, monkeypatch, capsys):
    from paper_claims import models

    monkeypatch.setattr(models, "measured_path", lambda *_: None)
    models.measure_models(tmp_path, models.Models())
    assert capsys.readouterr().out.count("does not ship") == 2
    with pytest.raises(ConfigError, match="--ris no-such-model: no such model"):
        models.measure_models(tmp_path, models.Models(ris="no-such-model"))


def test_the_tables_of_models_show_reliability_counts_and_order():
    from paper_claims import shipped, tables

    rows = [plant(true, true - 1, 0.8, 0.1, 0.8, 0.97) for true in range(5, 20)]
    numbers = {"models": {"rsis": shipped.tables_of(rows)}}
    reliability = numbers["models"]["rsis"]["reliability"]
    assert [(one["steps"], one["frequency"]) for one in reliability] == [(15, 0.0), (sum(range(5, 20)), 1.0)]
    assert "| RSIS | 0.9 to 1.0 | 180 | 0.970 | 1.000 |" in tables.reliability(numbers)
    assert tables.counts(numbers)[2].startswith("| RSIS | 0 to 9 | 5 | 0 | 0 | 5 | 0 |")
    assert any("bottom to top" in line and "-0.700" in line for line in tables.order(numbers))
    assert any("activation of f0 | 0.100 | -0.500" in line for line in tables.order(numbers))


def test_votes_alone_make_a_mask_of_the_cells_that_vote_for_one_centre(monkeypatch):
    from types import SimpleNamespace

    from paper_claims.measures import find_by_votes

    labels = np.zeros((16, 16), dtype=np.int32)
    labels[2:6, 2:6], labels[9:15, 9:15] = 1, 2
    network = catalogue.build(
        "rsis",
        {"encoder": "test_resnet", "width": 8, "extensions": {"pyramid_channels": 8}, "guidance": {}},
        seed=0,
    )
    truth = dense_targets(torch.from_numpy(labels)[None].long())
    sure = torch.where(truth.foreground > 0, 9.0, -9.0)
    maps = DenseMaps(sure, torch.logit(truth.seeds.clamp(0.01, 0.99)), truth.offsets, truth.log2_diameters)
    memory = SimpleNamespace(guidance=prepare(maps, [(16, 16)], (16, 16)))
    monkeypatch.setattr(network, "encode", lambda images: memory)
    description = ModelDescription.parse({"model": {"name": "rsis", "config": {}}})
    sample = Sample.of_one_class("a", np.zeros((3, 16, 16), dtype=np.float32), labels)
    found = find_by_votes(Predictor(network, description), sample)
    assert sorted(one.area for one in found) == [16, 36]
    assert ((found.label_map() > 0) == (labels > 0)).all()
