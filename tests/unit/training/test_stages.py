import itertools
import math

import pytest
import torch

from seriatim.core.errors import ConfigError
from seriatim.training.checkpoint import RunState
from seriatim.training.recipe import OptimizerConfig, Recipe, StageConfig
from seriatim.training.stages import (
    after_validation,
    begin_stage,
    check_watched,
    learning_rate_factor,
    lower_rate_on_plateau,
    make_optimizer,
    objects_asked_for,
    rates_of,
    set_learning_rates,
    set_peaks,
    set_training,
    stage_is_over,
)


def stage_of(**values):
    return StageConfig.parse({"name": "a", "iterations": 10, **values})


def test_the_curriculum_asks_for_one_object_more_on_every_plateau():
    stage, state = stage_of(curriculum={"start": 2, "patience": 2}), RunState()
    begin_stage(state, stage)
    asked = []
    for loss in [1.0, 0.9, 0.95, 0.91, 2.0, 1.9, 1.95, 2.1, 2.0]:
        after_validation(state, stage, loss)
        asked.append(state.num_objects)
    # 0.95 and 0.91 are no better than 0.9: three objects; the loss starts anew at 2.0, and 1.95 and 2.1 are no better than 1.9
    assert asked == [2, 2, 2, 3, 3, 3, 3, 4, 4]


def test_a_later_stage_keeps_the_objects_that_were_reached():
    state = RunState(num_objects=5, stage_iteration=9, best_loss=0.1, stale_validations=3)
    begin_stage(state, stage_of(curriculum={"start": 2}))
    assert (state.num_objects, state.stage_iteration, state.stale_validations) == (5, 0, 0)
    assert state.best_loss == math.inf
    begin_stage(state, stage_of())
    assert state.num_objects == 5


def test_a_stage_ends_after_its_iterations_or_its_patience():
    stage = stage_of(patience=2)
    assert not stage_is_over(RunState(stage_iteration=9), stage)
    assert stage_is_over(RunState(stage_iteration=10), stage)
    state = RunState()
    begin_stage(state, stage)
    over = []
    for loss in (1.0, 1.1, 0.9, 0.9, 1.0):
        after_validation(state, stage, loss)
        over.append(stage_is_over(state, stage))
    assert over == [False, False, False, False, True]


def test_a_loss_that_is_no_number_counts_as_no_better():
    state = RunState(best_loss=1.0)
    after_validation(state, stage_of(patience=1), float("nan"))
    assert state.stale_validations == 1
    assert state.best_loss == 1.0


def recipe_of(**optimizer):
    return Recipe.parse(
        {
            "data": {"source": "rosettes:4"},
            "model": {"name": "rsis"},
            "stages": [{"name": "a", "iterations": 60}, {"name": "b", "iterations": 40}],
            "optimizer": optimizer,
        }
    )


def test_a_constant_rate_stays_and_warms_up():
    assert {learning_rate_factor(iteration, recipe_of()) for iteration in (0, 50, 99)} == {1.0}
    warm = recipe_of(warmup=4)
    assert [learning_rate_factor(iteration, warm) for iteration in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_a_cosine_falls_to_one_percent_over_all_stages():
    recipe = recipe_of(schedule="cosine")
    factors = [learning_rate_factor(iteration, recipe) for iteration in range(101)]
    assert factors[0] == 1.0
    assert factors[50] == pytest.approx(0.505)
    assert factors[25] == pytest.approx(0.01 + 0.99 * 0.5 * (1 + math.sqrt(0.5)))
    assert factors[100] == pytest.approx(0.01)
    assert all(later < earlier for earlier, later in itertools.pairwise(factors))


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Linear(2, 2)
        self.encoder_of_others = torch.nn.Linear(2, 2, bias=False)
        self.head = torch.nn.Linear(2, 1)


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_encoder_has_its_own_rate_and_every_parameter_its_group(name, kind):
    network = Small()
    config = OptimizerConfig(name=name, learning_rate=1e-3, encoder_learning_rate=1e-6, weight_decay=1e-5)
    optimizer = make_optimizer(network, config)
    assert type(optimizer) is kind
    others, encoder = optimizer.param_groups
    assert [len(group["params"]) for group in (others, encoder)] == [3, 2]
    assert {id(one) for one in encoder["params"]} == {id(one) for one in network.encoder.parameters()}
    assert others["weight_decay"] == encoder["weight_decay"] == 1e-5
    set_learning_rates(optimizer, 0.5)
    assert (others["lr"], encoder["lr"]) == (5e-4, 5e-7)
    set_learning_rates(optimizer, 1.0)
    assert (others["lr"], encoder["lr"]) == (1e-3, 1e-6)


def test_without_a_rate_of_its_own_the_encoder_takes_that_of_the_others():
    optimizer = make_optimizer(Small(), OptimizerConfig(learning_rate=1e-2))
    set_learning_rates(optimizer, 1.0)
    assert [group["lr"] for group in optimizer.param_groups] == [1e-2, 1e-2]


def test_an_encoder_rate_of_zero_leaves_the_encoder_as_it_is():
    network = Small()
    optimizer = make_optimizer(network, OptimizerConfig(encoder_learning_rate=0.0, weight_decay=0.1, name="adamw"))
    set_learning_rates(optimizer, 1.0)
    before = network.encoder.weight.clone()
    network.head(network.encoder(torch.ones(1, 2))).sum().backward()
    optimizer.step()
    assert torch.equal(network.encoder.weight, before)


def factors_of(stage, optimizer, losses, state):
    factors = []
    for loss in losses:
        after_validation(state, stage, loss)
        lower_rate_on_plateau(state, optimizer)
        factors.append(state.rate_factor)
    return factors


def test_a_plateau_of_the_validation_loss_multiplies_the_rate_by_a_tenth_down_to_the_floor():
    optimizer = OptimizerConfig(schedule="plateau", plateau_patience=2, plateau_floor=1e-2)
    state = RunState()
    begin_stage(state, stage_of())
    # 0.6 and 0.5 are no better than 0.5; 0.4 is; three times two validations without anything better than 0.4
    losses = [0.5, 0.6, 0.5, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    expected = [1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01, 0.01]
    assert factors_of(stage_of(), optimizer, losses, state) == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_other_schedules_know_no_plateau(schedule):
    state = RunState()
    assert factors_of(stage_of(), OptimizerConfig(schedule=schedule, plateau_patience=1), [1.0] * 5, state) == [1.0] * 5


def test_a_further_object_of_the_curriculum_begins_with_the_whole_rate():
    optimizer = OptimizerConfig(schedule="plateau", plateau_patience=2)
    stage, state = stage_of(curriculum={"start": 2, "patience": 4}), RunState()
    begin_stage(state, stage)
    assert factors_of(stage, optimizer, [1.0] * 7, state) == pytest.approx([1, 1, 0.1, 0.1, 1, 1, 1])
    assert state.num_objects == 3


def test_a_new_stage_begins_with_the_whole_rate():
    state = RunState(rate_factor=0.01)
    begin_stage(state, stage_of())
    assert state.rate_factor == 1.0


def test_plateaus_come_on_top_of_the_warm_up_and_not_of_a_cosine():
    warm = recipe_of(schedule="plateau", warmup=4)
    assert [learning_rate_factor(iteration, warm) for iteration in (0, 3, 50)] == [0.25, 1.0, 1.0]


def test_a_stage_without_a_curriculum_trains_on_all_objects():
    state = RunState(num_objects=5)
    assert objects_asked_for(state, stage_of()) is None
    assert objects_asked_for(state, stage_of(curriculum={"start": 2})) == 5


@pytest.mark.parametrize(
    ("optimizer", "stage", "expected"),
    [
        ({}, {}, (1e-3, 1e-3)),
        ({"encoder_learning_rate": 1e-6}, {}, (1e-3, 1e-6)),
        ({}, {"learning_rate": 1e-5}, (1e-5, 1e-5)),
        ({"encoder_learning_rate": 1e-6}, {"learning_rate": 1e-5}, (1e-5, 1e-6)),
        ({"encoder_learning_rate": 1e-6}, {"encoder_learning_rate": 0.0}, (1e-3, 0.0)),
        ({}, {"learning_rate": 1e-5, "encoder_learning_rate": 1e-7}, (1e-5, 1e-7)),
    ],
)
def test_a_stage_may_have_rates_of_its_own(optimizer, stage, expected):
    rates = rates_of(OptimizerConfig(**optimizer), stage_of(**stage))
    assert rates == expected
    of_groups = make_optimizer(Small(), OptimizerConfig(**optimizer))
    set_peaks(of_groups, rates)
    set_learning_rates(of_groups, 0.5)
    assert [group["lr"] for group in of_groups.param_groups] == [0.5 * rate for rate in expected]


class WithBatchNorm(Small):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
        self.norm = torch.nn.BatchNorm1d(2)

    def forward(self, values):
        return self.head(self.norm(self.encoder_of_others(self.encoder(values))))


def test_a_rate_of_zero_freezes_the_encoder_and_its_batch_norms_and_nothing_else():
    network = WithBatchNorm().eval()
    frozen = rates_of(OptimizerConfig(weight_decay=0.1), stage_of(encoder_learning_rate=0.0))
    optimizer = make_optimizer(network, OptimizerConfig(weight_decay=0.1))
    set_peaks(optimizer, frozen)
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def update():
        set_learning_rates(optimizer, 1.0)
        network(torch.randn(8, 2, generator=torch.Generator().manual_seed(0)) + 3).square().mean().backward()
        gradients = {name for name, value in network.named_parameters() if value.grad is not None}
        optimizer.step()
        optimizer.zero_grad()
        changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
        return gradients, changed

    set_training(network, frozen)
    gradients, changed = update()
    assert not any(name.startswith("encoder.") for name in gradients | changed)
    assert {"norm.running_mean", "head.weight", "encoder_of_others.weight"} <= changed
    set_training(network, rates_of(OptimizerConfig()))
    set_peaks(optimizer, rates_of(OptimizerConfig()))
    gradients, changed = update()
    assert {"encoder.0.weight", "encoder.1.running_mean"} <= changed
    assert "encoder.0.weight" in gradients


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"optimizer": {"schedule": "plateau"}}, "optimizer.schedule: plateau needs validation images"),
        (
            {"stages": [{"name": "few", "iterations": 1, "curriculum": {}}]},
            r"stages\.few\.curriculum: needs validation images",
        ),
    ],
)
def test_plateaus_that_nobody_would_see_are_refused(change, told):
    values = {"data": {"source": "rosettes:4"}, "model": {"name": "rsis"}, "stages": [{"name": "a", "iterations": 1}]}
    recipe = Recipe.parse({**values, **change})
    check_watched(recipe, 1)
    check_watched(Recipe.parse(values), 0)
    with pytest.raises(ConfigError, match=told):
        check_watched(recipe, 0)
