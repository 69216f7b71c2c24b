import numpy as np
import pytest
import torch

from seriatim.analysis.states import FATES, KEPT, TAKEN, summarise, trace_states
from seriatim.core.errors import ConfigError
from seriatim.inference.model_folder import ModelDescription
from seriatim.inference.predictor import Predictor
from seriatim.models import catalogue

OPEN = {"stop_threshold": 0.0, "max_steps": 3, "input_channels": 1}
RIS = {"fcn": "leaf", "channels": 6, "stride": 4, "initial_threshold": 6.5, **OPEN}
RSIS = {
    "encoder": "resnet18",
    "encoder_depth": 2,
    "levels": 2,
    "width": 8,
    "mask_threshold": 0.45,
    "min_area_fraction": 0.0,
    **OPEN,
}


def make(name, config, **parts):
    description = ModelDescription.parse(
        {"model": {"name": name, "config": config}, "preparation": {"channels": 1}, **parts}
    )
    return Predictor(catalogue.build(name, config, seed=1), description)


def tile_image(height=40, width=60, seed=0):
    return np.random.default_rng(seed).random((1, height, width), dtype=np.float32)


@pytest.fixture(scope="module")
def ris():
    return make("ris", RIS, inference={"max_hidden": 1.0})


@pytest.fixture(scope="module")
def rsis():
    return make("rsis", RSIS)


def test_ris_shows_its_states_and_both_stages_of_the_inhibition(ris):
    trace = trace_states(ris, tile_image())
    assert (trace.model, trace.size, trace.num_tiles, trace.ended) == ("ris", (40, 60), 1, True)
    assert trace.tile_image.shape == (1, 40, 60)
    assert trace.features.shape == (6, 10, 15)
    assert len(trace.steps) == 3
    for step in trace.steps:
        assert [level.shape for level in step.kappa] == [(10, 15)] * 2
        assert list(step.stages) == ["response", "inhibited_logits"]
        assert step.mask_probs.shape == (40, 60)
        assert step.fate in FATES


def test_kappa_is_the_sum_over_the_channels_of_the_absolute_state(ris):
    trace = trace_states(ris, tile_image(32, 32))
    network = ris.network.eval()
    with torch.inference_mode():
        memory = network.encode(torch.from_numpy(tile_image(32, 32))[None])
        state = network.initial_state(memory, 1)
        for step in trace.steps:
            output, state = network.step(memory, state)
            for level, cell in zip(step.kappa, state.cells, strict=True):
                assert np.allclose(level, cell.hidden[0].abs().sum(dim=0).numpy(), atol=1e-5)
            for level, cell in zip(step.kappa_cell, state.cells, strict=True):
                assert np.allclose(level, cell.cell[0].abs().sum(dim=0).numpy(), atol=1e-5)
            assert step.score == pytest.approx(float(output.confidence_logits[0].sigmoid()))
    assert np.array_equal(trace.features, memory.features[0].numpy())


def test_the_second_stage_is_the_first_after_competition(ris):
    threshold = ris.network.inhibition.threshold.item()
    for step in trace_states(ris, tile_image(64, 64)).steps:
        response = step.stages["response"].astype(np.float64)
        expected = response - np.log(np.exp(response).sum()) + threshold
        assert np.allclose(step.stages["inhibited_logits"], expected, atol=1e-4)


def test_rsis_shows_every_level_and_its_finest_features(rsis):
    trace = trace_states(rsis, tile_image())
    [step, *_] = trace.steps
    assert [level.shape for level in step.kappa] == [(16, 16), (32, 32)]
    assert list(step.stages) == ["mask_logits"]
    assert np.allclose(1 / (1 + np.exp(-step.stages["mask_logits"])), step.mask_probs, atol=1e-5)
    assert trace.features.shape == (64, 32, 32)


@pytest.mark.parametrize("name", ["ris", "rsis"])
def test_what_is_kept_is_what_the_predictor_gives(name, request):
    predictor = request.getfixturevalue(name)
    for seed in range(4):
        kept = trace_states(predictor, tile_image(seed=seed)).instances()
        given = predictor.predict_values(tile_image(seed=seed))
        assert len(given)
        assert [one.step for one in kept] == [one.step for one in given]
        assert np.array_equal(kept.label_map(), given.label_map())


@pytest.mark.parametrize(
    ("preparation", "guidance"),
    [
        ({"channels": 1, "longest_side": 33, "stretch": True, "bright_objects": True}, None),
        ({"channels": 1, "diameter": 24.0}, {"seed_threshold": 0.0}),
        ({"channels": 1, "diameter": 6.0, "longest_side": 70}, {"seed_threshold": 0.0}),
    ],
)
def test_the_network_sees_what_the_predictor_shows_it(preparation, guidance, monkeypatch):
    predictor = make("ris", {**RIS, "guidance": guidance}, preparation=preparation)
    seen = []
    encode = predictor.network.encode
    monkeypatch.setattr(predictor.network, "encode", lambda images: seen.append(images.numpy()) or encode(images))
    predictor.predict_values(tile_image(60, 90))
    expected = seen[-1]
    trace = trace_states(predictor, tile_image(60, 90), tile=0)
    assert np.array_equal(trace.tile_image, expected[0])


def test_a_trace_keeps_its_image_when_the_given_one_is_painted_over(ris):
    values = tile_image(32, 64)
    trace = trace_states(ris, values, num_steps=1)
    values[:] = 0
    assert np.array_equal(trace.tile_image, tile_image(32, 64))


def test_a_large_image_is_traced_tile_by_tile(ris):
    predictor = make("ris", RIS, inference={"tile_size": 64, "overlap": 16})
    values = tile_image(100, 200)
    middle = trace_states(predictor, values, num_steps=1)
    assert middle.num_tiles == 8
    assert middle.box == (0, 45, 64, 109)
    last = trace_states(predictor, values, tile=7, num_steps=1)
    assert np.array_equal(last.tile_image, values[:, 36:, 136:])
    with pytest.raises(ConfigError, match="tile 9: the image has 8"):
        trace_states(predictor, values, tile=8)


def test_with_guidance_every_step_tells_where_it_looked():
    predictor = make("ris", {**RIS, "guidance": {"seed_threshold": 0.0}})
    trace = trace_states(predictor, tile_image())
    places = [step.place for step in trace.steps]
    assert len(set(places)) == 3
    assert all(0 < y < 64 and 0 < x < 64 for y, x in places)
    assert trace.steps[0].seed_left >= trace.steps[-1].seed_left
    assert trace_states(make("ris", RIS), tile_image()).steps[0].place is None


def test_steps_that_give_nothing_say_why():
    low = trace_states(make("ris", {**RIS, "stop_threshold": 1.0}), tile_image())
    assert [step.fate for step in low.steps] == ["score below the threshold"]
    assert (low.ended, len(low.instances())) == (True, 0)
    skipping = trace_states(make("ris", {**RIS, "stop_threshold": 1.0, "stop_policy": "skip"}), tile_image())
    assert [step.fate for step in skipping.steps] == ["score below the threshold"] * 3
    blind = {**RIS, "guidance": {"seed_threshold": 1.0}}
    assert [step.fate for step in trace_states(make("ris", blind), tile_image()).steps] == ["no seed is left"]
    everything = {**RIS, "mask_threshold": 1e-6}
    assert [step.fate for step in trace_states(make("ris", everything), tile_image()).steps] == [KEPT, TAKEN, TAKEN]


def test_fewer_steps_may_be_asked_for(ris):
    trace = trace_states(ris, tile_image(), num_steps=2)
    assert (len(trace.steps), trace.ended) == (2, False)
    with pytest.raises(ConfigError, match="num_steps"):
        trace_states(ris, tile_image(), num_steps=0)


def test_a_network_in_training_stays_in_training(ris):
    ris.network.train()
    trace_states(ris, tile_image(), num_steps=1)
    assert ris.network.training
    ris.network.eval()


def test_the_summary_holds_a_line_a_step(ris):
    told = summarise(trace_states(ris, tile_image()))
    assert [step["step"] for step in told["steps"]] == [1, 2, 3]
    assert told["num_tiles"] == told["tile"] == 1
    assert set(told["steps"][0]["stages"]) == {"response", "inhibited_logits"}
    assert len(told["steps"][0]["kappa_max"]) == 2


def test_a_model_without_steps_is_refused(ris):
    other = make("ris", RIS)
    other.network = torch.nn.Identity()
    other.network.takes_boxes = False
    with pytest.raises(ConfigError, match="no states to trace"):
        trace_states(other, tile_image())
