import itertools
import math

import pytest
import torch

from seriatim.training.checkpoint import RunState
from seriatim.training.recipe import OptimizerConfig, Recipe, StageConfig
from seriatim.training.stages import (
    after_validation,
    begin_stage,
    learning_rate_factor,
    make_optimizer,
    set_learning_rates,
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
