import numpy as np
import pytest
import torch

from seriatim.analysis.recurrence import (
    CANVAS_ZEROED,
    STATE_ZEROED,
    STOP_FORCED,
    TRUE_COUNT,
    UNDISTURBED,
    EncodeOnce,
    RecurrenceReport,
    collect_recurrence,
    make_disturbed,
)
from seriatim.core.batch import Batch
from seriatim.core.errors import ConfigError, DataError
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.data.subsets import Subset
from seriatim.inference.model_folder import ModelDescription
from seriatim.inference.predictor import Predictor
from seriatim.metrics import Example
from seriatim.models import catalogue
from seriatim.models.interface import TrainingContext
from seriatim.models.sequential import run_steps

RIS = {
    "fcn": "leaf",
    "channels": 6,
    "stride": 4,
    "initial_threshold": 6.5,
    "stop_threshold": 0.0,
    "max_steps": 3,
    "input_channels": 1,
}
GUIDED = {**RIS, "guidance": {"seed_threshold": 0.0}}


def images(height=64, width=64):
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(0))


def steps_of(config, condition):
    network = catalogue.build("ris", config, seed=1).eval()
    disturbed = make_disturbed(EncodeOnce(network))[condition].eval()
    with torch.inference_mode():
        memory = disturbed.encode(images())
        return [(step.output, step.state) for step in run_steps(disturbed, memory, 1)]


def test_without_its_state_every_step_is_the_first():
    (first, _), *others = steps_of(RIS, STATE_ZEROED)
    assert len(others) == 2
    assert all(torch.allclose(output.response, first.response, atol=1e-6) for output, _ in others)
    (first, _), *others = steps_of(RIS, UNDISTURBED)
    assert not any(torch.allclose(output.response, first.response, atol=1e-6) for output, _ in others)


@pytest.mark.parametrize("condition", [UNDISTURBED, CANVAS_ZEROED, STOP_FORCED])
def test_a_network_with_windows_is_disturbed_in_the_whole_image(condition):
    windows = {**RIS, "guidance": {"seed_threshold": 0.0, "window": 1.0, "min_window": 16}}
    found = []
    for config in (GUIDED, windows):
        disturbed = make_disturbed(EncodeOnce(catalogue.build("ris", config, seed=1).eval()))[condition].eval()
        with torch.inference_mode():
            found.append([(one.instance.step, one.instance.box) for one in disturbed.detect(images())])
    assert found[0] == found[1]
    assert found[0]


def test_without_its_canvas_every_step_finds_the_same_seed_but_the_state_goes_on():
    found = steps_of(GUIDED, CANVAS_ZEROED)
    assert len({float(output.seed_left) for output, _ in found}) == 1
    hidden = [state.cells[-1].hidden for _, state in found]
    assert not torch.allclose(hidden[0], hidden[1], atol=1e-6)
    assert len({float(output.seed_left) for output, _ in steps_of(GUIDED, UNDISTURBED)}) == 3


def test_without_its_state_a_guided_network_still_has_its_canvas():
    assert len({float(output.seed_left) for output, _ in steps_of(GUIDED, STATE_ZEROED)}) == 3


def test_only_a_guided_network_has_a_canvas():
    plain, guided = (set(make_disturbed(EncodeOnce(catalogue.build("ris", one, seed=1)))) for one in (RIS, GUIDED))
    assert guided - plain == {CANVAS_ZEROED}


def test_a_forced_stop_goes_on_to_the_last_step_and_the_network_keeps_its_settings():
    closed = {**RIS, "stop_threshold": 1.0}
    network = catalogue.build("ris", closed, seed=1)
    assert len(steps_of(closed, UNDISTURBED)) == 1
    assert len(steps_of(closed, STOP_FORCED)) == 3
    assert make_disturbed(EncodeOnce(network))[STOP_FORCED].config.stop_threshold == 0.0
    assert network.config.stop_threshold == 1.0


def test_an_intervention_is_not_trained():
    disturbed = make_disturbed(EncodeOnce(catalogue.build("ris", RIS, seed=1)))[UNDISTURBED]
    batch = Batch(images(), torch.zeros(1, 64, 64, dtype=torch.int64), torch.zeros(1, 0, dtype=torch.int64))
    with pytest.raises(ConfigError, match="not trained"):
        disturbed.losses(batch, None, TrainingContext(torch.Generator()))


class Noise(Source):
    """Images of noise; image n has n + 1 targets."""

    class_names = ("object",)

    def __init__(self, width=60, count=2):
        self.width, self.count = width, count

    def __len__(self):
        return self.count

    def name(self, index):
        return f"noise-{index}"

    def read(self, index):
        image = np.random.default_rng(index).random((1, 40, self.width), dtype=np.float32)
        labels = np.zeros((40, self.width), dtype=np.int32)
        for number in range(index + 1):
            labels[10 * number : 10 * number + 5] = number + 1
        return Sample.of_one_class(self.name(index), image, labels)


def predictor_of(config, **inference):
    values = {"model": {"name": "ris", "config": config}, "preparation": {"channels": 1}, "inference": inference}
    return Predictor(catalogue.build("ris", config, seed=1), ModelDescription.parse(values))


def test_every_image_is_encoded_once_for_all_conditions(monkeypatch):
    predictor = predictor_of(RIS, overlaps="keep")
    seen = []
    encode = predictor.network.encode
    monkeypatch.setattr(predictor.network, "encode", lambda images: seen.append(images) or encode(images))
    done = []
    report = collect_recurrence(predictor, Noise(), progress=lambda *numbers: done.append(numbers))
    assert len(seen) == 2
    assert done == [(1, 2), (2, 2)]
    assert list(report.names) == [UNDISTURBED, STATE_ZEROED, STOP_FORCED, TRUE_COUNT]
    assert report.num_targets == [1, 2]
    assert report.num_preds[TRUE_COUNT] == [1, 2]
    assert report.num_preds[STOP_FORCED] == [3, 3]


def test_the_undisturbed_condition_is_what_the_predictor_gives():
    predictor = predictor_of(RIS)
    report = collect_recurrence(predictor, Noise())
    given = [len(predictor.predict_values(Noise().read(index).image)) for index in range(2)]
    assert report.num_preds[UNDISTURBED] == given


def test_the_true_count_is_left_out_where_tiles_share_the_objects():
    report = collect_recurrence(predictor_of(RIS, tile_size=64, overlap=16), Noise(width=100, count=1))
    assert TRUE_COUNT not in report.names
    assert "several tiles" in report.as_json()["left_out"][TRUE_COUNT]
    assert STATE_ZEROED in report.as_json()["conditions"]


def test_no_image_is_refused():
    with pytest.raises(DataError, match="at least one image"):
        collect_recurrence(predictor_of(RIS), Subset(Noise(), []))


def test_changes_are_those_of_paired_images():
    report = RecurrenceReport("cvppp", [UNDISTURBED, STATE_ZEROED])
    labels = np.array([[1, 1, 2, 2, 0]])
    for found in (labels, np.array([[1, 1, 0, 0, 0]]), labels):
        for name, preds in ((UNDISTURBED, found), (STATE_ZEROED, found * 0)):
            report.evaluators[name].add(Example.from_label_maps(labels, preds))
            report.num_preds[name].append(int(preds.max()))
        report.num_targets.append(2)
    plain, zeroed = report.compare()
    assert (plain.rows[0].name, plain.rows[0].interval, plain.ratio_interval) == ("SBD", None, None)
    assert plain.rows[0].value == pytest.approx((1 + 0.5 + 1) / 3)
    assert (zeroed.rows[0].value, plain.ratio, zeroed.ratio) == (0.0, pytest.approx(5 / 6), 0.0)
    assert zeroed.rows[0].interval == pytest.approx(
        (-1.0, -0.5)
    )  # a draw of the second image alone, and one without it
    assert zeroed.ratio_interval == pytest.approx((-1.0, -0.5))
    assert (plain.abs_dic, zeroed.abs_dic) == (pytest.approx(1 / 3), 2.0)
    assert zeroed.abs_dic_interval == pytest.approx((1.0, 2.0))
