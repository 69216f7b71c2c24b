from dataclasses import replace

import numpy as np
import pytest

from seriatim.analysis.states import KEPT, StateTrace, StepTrace
from seriatim.core.errors import ConfigError
from seriatim.core.instances import Instance
from seriatim.plots import states
from seriatim.plots.states import draw_features, draw_memory, draw_states


def trace_of(tile_image, size, features, steps):
    return StateTrace("ris", tile_image, size, (0, 0, *size), 0, 1, features, tuple(steps), True, 0.5)


def make(num_steps=3, size=(40, 60), channels=5, planes=1, place=None):
    random = np.random.default_rng(0)
    padded = tuple(extent + -extent % 32 for extent in size)
    cells = tuple(extent // 4 for extent in padded)

    def values(*shape):
        return random.normal(size=shape).astype(np.float32)

    steps = []
    for number in range(num_steps):
        found = Instance((0, 0, 1, 1), np.ones((1, 1), dtype=bool), step=number)
        stages = {"response": values(*cells), "inhibited_logits": -np.abs(values(*cells)) - 1}
        kappa = (np.abs(values(*cells)), np.abs(values(*cells)))
        kappa_cell = tuple(10 * one for one in kappa)
        steps.append(
            StepTrace(kappa, kappa_cell, stages, np.abs(values(*padded)).clip(0, 1), 0.9, 1.0, place, KEPT, found)
        )
    steps[-1] = replace(steps[-1], fate="score below the threshold", found=None)
    return trace_of(np.abs(values(planes, *padded)).clip(0, 1), size, values(channels, *cells), steps)


def texts(figure):
    return [one.get_text() for one in figure.texts] + [one.get_text() for axes in figure.axes for one in axes.texts]


def test_every_step_has_its_column_with_score_and_fate():
    figure = draw_states(make(3, place=(10.0, 20.0)), "a title")
    told = texts(figure)
    for wanted in ("a title", "step 1", "step 3", "0.900", "score below the\nthreshold", "all negative"):
        assert wanted in told
    assert sum(text == "all negative" for text in told) == 3
    tile_images = [axes for axes in figure.axes if axes.images]
    assert len(tile_images) == 2 + 3 * 5 + 5


def test_negative_values_of_a_stage_are_hidden_and_those_of_a_state_cannot_be():
    trace = make(1)
    figure = draw_states(trace, "t")
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    masked = [np.ma.getmaskarray(one) for one in shown]
    response = next(mask for mask, one in zip(masked, shown, strict=True) if mask.any() and not mask.all())
    assert np.array_equal(response, trace.steps[0].stages["response"] < 0)
    assert sum(mask.any() for mask in masked) == 2


def test_the_padding_is_not_shown():
    for axes in draw_states(make(2), "t").axes:
        if axes.images and axes.images[0].get_array().shape[1] > 1:
            assert axes.get_xlim() == (-0.5, 59.5)
            assert axes.get_ylim() == (39.5, -0.5)


def test_maps_of_a_row_share_one_scale():
    figure = draw_states(make(3), "t")
    limits = [axes.images[0].get_clim() for axes in figure.axes if axes.images and axes.images[0].cmap.name == "magma"]
    assert len(limits) == 2 * 3 + 2
    assert len({limit for limit in limits if limit != (0.0, 1.0)}) == 2


def test_many_steps_go_into_bands(monkeypatch):
    monkeypatch.setattr(states, "MAX_COLUMNS", 2)
    few, many = draw_states(make(2), "t"), draw_states(make(3), "t")
    assert many.get_figwidth() == few.get_figwidth()
    assert many.get_figheight() > 1.5 * few.get_figheight()


@pytest.mark.parametrize(("size", "planes"), [((1, 1), 1), ((1, 2000), 3), ((2000, 1), 4), ((64, 64), 3)])
def test_images_of_any_size_and_channels_are_drawn(size, planes):
    figure = draw_states(make(2, size, planes=planes), "t")
    assert 3 < figure.get_figheight() < 40
    assert figure.get_figwidth() < 40
    assert draw_features(make(2, size, planes=planes), "t").get_figheight() < 40


def test_a_trace_without_steps_is_refused():
    with pytest.raises(ConfigError, match="no steps"):
        draw_states(trace_of(np.zeros((1, 32, 32), np.float32), (32, 32), np.zeros((1, 8, 8), np.float32), []), "t")


def test_the_features_have_a_panel_a_channel():
    told = texts(draw_features(make(1, channels=7), "features"))
    assert {"image", "1", "7", "features"} <= set(told)
    assert "8" not in told


def test_the_memory_shows_the_cell_below_the_state_and_no_stage():
    trace = make(2)
    figure = draw_memory(trace, "memory")
    told = texts(figure)
    assert "all negative" not in told
    captions = [text.split("\n")[0] for text in told if "cells" in text]
    assert captions == [r"$\kappa(h^{1}_t)$", r"$\kappa(c^{1}_t)$", r"$\kappa(h^{2}_t)$", r"$\kappa(c^{2}_t)$"]
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert any(np.array_equal(one, trace.steps[1].kappa_cell[0]) for one in shown)
