import itertools
import math

import pytest
import torch

from seriatim.core.errors import ConfigError
from seriatim.models.interface import Model
from seriatim.training.checkpoint import RunState
from seriatim.training.recipe import OptimizerConfig, Recipe
from seriatim.training.stages import (
    begin_stage,
    count_validation,
    make_optimizer,
    rate_factor,
    resolve_stages,
    set_learning_rates,
    set_training,
)

CONSTANT = OptimizerConfig()


def recipe_of(*stages, **parts):
    stages = [{"name": f"stage{number}", "iterations": 10, **values} for number, values in enumerate(stages)]
    return Recipe.parse(
        {"data": {"source": "rosettes:4", "num_validation": 1}, "model": {"name": "rsis"}, "stages": stages, **parts}
    )


def stage_of(**values):
    return resolve_stages(recipe_of(values))[0]


def test_a_stage_takes_from_the_recipe_what_it_does_not_set():
    recipe = recipe_of(
        {"weights": {"mask": 2.0}, "patience": 3},
        {"crop_size": [32, 48], "batch_size": 3, "learning_rate": 0.1, "group_learning_rates": {"encoder": 0.0}},
        optimizer={"learning_rate": 0.5, "group_learning_rates": {"encoder": 0.25, "other": 0.125}},
        augmentation={"crop_size": [64, 64], "rotation": 7.0},
        runtime={"batch_size": 5},
    )
    first, second = resolve_stages(recipe)
    assert (first.name, first.iterations, first.patience, first.weights.mask) == ("stage0", 10, 3, 2.0)
    assert (first.batch_size, first.augmentation) == (5, recipe.augmentation)
    assert [first.rate(group) for group in ("decoder", "encoder", "other")] == [0.5, 0.25, 0.125]
    assert (second.batch_size, second.augmentation.crop_size, second.augmentation.rotation) == (3, (32, 48), 7.0)
    assert [second.rate(group) for group in ("decoder", "encoder", "other")] == [0.1, 0.0, 0.125]


def test_a_term_that_the_loss_does_not_have_is_named_with_its_stage():
    with pytest.raises(ConfigError, match=r"stages\.stage1\.weights: masks: unknown key; did you mean 'mask'"):
        resolve_stages(recipe_of({}, {"weights": {"masks": 1.0}}))


def test_the_curriculum_asks_for_one_object_more_on_every_plateau():
    stage, state = stage_of(curriculum={"start": 2, "patience": 2}), RunState()
    begin_stage(state, stage)
    asked = []
    for loss in [1.0, 0.9, 0.95, 0.91, 2.0, 1.9, 1.95, 2.1, 2.0]:
        count_validation(state, stage, CONSTANT, loss)
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


def test_a_stage_chooses_its_best_model_anew():
    state = RunState(best_score=0.9)
    begin_stage(state, stage_of())
    assert state.best_score == -math.inf


def test_a_stage_ends_after_its_iterations_or_its_patience():
    stage = stage_of(patience=2)
    assert not stage.is_over(RunState(stage_iteration=9))
    assert stage.is_over(RunState(stage_iteration=10))
    state = RunState()
    begin_stage(state, stage)
    over = []
    for loss in (1.0, 1.1, 0.9, 0.9, 1.0):
        count_validation(state, stage, CONSTANT, loss)
        over.append(stage.is_over(state))
    assert over == [False, False, False, False, True]


def test_a_loss_that_is_no_number_counts_as_no_better():
    state = RunState(best_loss=1.0)
    count_validation(state, stage_of(patience=1), CONSTANT, float("nan"))
    assert state.stale_validations == 1
    assert state.best_loss == 1.0


def scheduled(**optimizer):
    return recipe_of({"iterations": 60}, {"iterations": 40}, optimizer=optimizer)


def test_a_constant_rate_stays_and_warms_up():
    assert {rate_factor(iteration, scheduled()) for iteration in (0, 50, 99)} == {1.0}
    warm = scheduled(warmup=4)
    assert [rate_factor(iteration, warm) for iteration in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_a_cosine_falls_to_one_percent_over_all_stages():
    recipe = scheduled(schedule="cosine")
    factors = [rate_factor(iteration, recipe) for iteration in range(101)]
    assert factors[0] == 1.0
    assert factors[50] == pytest.approx(0.505)
    assert factors[25] == pytest.approx(0.01 + 0.99 * 0.5 * (1 + math.sqrt(0.5)))
    assert factors[100] == pytest.approx(0.01)
    assert all(later < earlier for earlier, later in itertools.pairwise(factors))


class Small(Model):
    losses = detect = None  # never called

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Linear(2, 2)
        self.encoder_of_others = torch.nn.Linear(2, 2, bias=False)
        self.head = torch.nn.Linear(2, 1)

    def parameter_groups(self):
        others = [*self.encoder_of_others.parameters(), *self.head.parameters()]
        return {"decoder": others, "encoder": list(self.encoder.parameters())}


def rates_in(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_optimizer_has_the_groups_of_the_model_in_their_order(name, kind):
    network = Small()
    rates = {"learning_rate": 1e-3, "group_learning_rates": {"encoder": 1e-6}}
    recipe = recipe_of({}, optimizer={"name": name, "weight_decay": 1e-5, **rates})
    optimizer = make_optimizer(network, recipe)
    assert type(optimizer) is kind
    decoder, encoder = optimizer.param_groups
    assert [group["name"] for group in (decoder, encoder)] == ["decoder", "encoder"]
    assert [len(group["params"]) for group in (decoder, encoder)] == [3, 2]
    assert {id(one) for one in encoder["params"]} == {id(one) for one in network.encoder.parameters()}
    assert decoder["weight_decay"] == encoder["weight_decay"] == 1e-5
    [stage] = resolve_stages(recipe)
    set_learning_rates(optimizer, stage, 0.5)
    assert rates_in(optimizer) == [5e-4, 5e-7]
    set_learning_rates(optimizer, stage, 1.0)
    assert rates_in(optimizer) == [1e-3, 1e-6]


@pytest.mark.parametrize(
    ("optimizer", "stage", "message"),
    [
        ({"encodr": 1e-6}, {}, r"optimizer\.group_learning_rates: no group .* 'encodr'; did you mean 'encoder'"),
        ({}, {"heads": 0.0}, r"stages\.stage0\.group_learning_rates: no group .* 'heads'; known: decoder, encoder"),
    ],
)
def test_a_group_that_the_model_does_not_have_is_refused(optimizer, stage, message):
    recipe = recipe_of({"group_learning_rates": stage}, optimizer={"group_learning_rates": optimizer})
    with pytest.raises(ConfigError, match=message):
        make_optimizer(Small(), recipe)


def test_a_rate_below_zero_is_refused():
    with pytest.raises(ConfigError, match=r"group_learning_rates\.encoder: .*greater than or equal to 0"):
        recipe_of({}, optimizer={"group_learning_rates": {"encoder": -1.0}})


def factors_of(stage, optimizer, losses, state):
    factors = []
    for loss in losses:
        count_validation(state, stage, optimizer, loss)
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
    warm = scheduled(schedule="plateau", warmup=4)
    assert [rate_factor(iteration, warm) for iteration in (0, 3, 50)] == [0.25, 1.0, 1.0]


def test_a_stage_without_a_curriculum_trains_on_all_objects():
    state = RunState(num_objects=5)
    assert stage_of().num_objects(state) is None
    assert stage_of(curriculum={"start": 2}).num_objects(state) == 5


GROUPS = "group_learning_rates"


@pytest.mark.parametrize(
    ("optimizer", "stage", "expected"),
    [
        ({}, {}, [1e-3, 1e-3]),
        ({GROUPS: {"encoder": 1e-6}}, {}, [1e-3, 1e-6]),
        ({}, {"learning_rate": 1e-5}, [1e-5, 1e-5]),
        ({GROUPS: {"encoder": 1e-6}}, {"learning_rate": 1e-5}, [1e-5, 1e-6]),
        ({GROUPS: {"encoder": 1e-6}}, {GROUPS: {"encoder": 0.0}}, [1e-3, 0.0]),
        ({}, {"learning_rate": 1e-5, GROUPS: {"encoder": 1e-7}}, [1e-5, 1e-7]),
    ],
)
def test_a_stage_may_have_rates_of_its_own(optimizer, stage, expected):
    recipe = recipe_of(stage, optimizer=optimizer)
    of_groups = make_optimizer(Small(), recipe)
    set_learning_rates(of_groups, resolve_stages(recipe)[0], 0.5)
    assert rates_in(of_groups) == [0.5 * rate for rate in expected]


class WithBatchNorm(Small):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), torch.nn.Dropout())
        self.norm = torch.nn.BatchNorm1d(2)
        self.head = torch.nn.Sequential(torch.nn.Dropout(0.0), torch.nn.Linear(2, 1))

    def forward(self, values):
        return self.head(self.norm(self.encoder_of_others(self.encoder(values))))


def test_a_rate_of_zero_freezes_a_group_and_its_batch_norms_and_nothing_else():
    network = WithBatchNorm().eval()
    recipe = recipe_of({"group_learning_rates": {"encoder": 0.0}}, {}, optimizer={"name": "adamw", "weight_decay": 0.1})
    frozen, free = resolve_stages(recipe)
    optimizer = make_optimizer(network, recipe)
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def update(stage):
        set_training(network, stage)
        set_learning_rates(optimizer, stage, 1.0)
        network(torch.randn(8, 2, generator=torch.Generator().manual_seed(0)) + 3).square().mean().backward()
        gradients = {name for name, value in network.named_parameters() if value.grad is not None}
        optimizer.step()
        optimizer.zero_grad()
        changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
        return gradients, changed

    gradients, changed = update(frozen)
    assert not any(name.startswith("encoder.") for name in gradients | changed)
    assert {"norm.running_mean", "head.1.weight", "encoder_of_others.weight"} <= changed
    assert not any(module.training for module in network.encoder.modules())
    assert all(module.training for module in [network, network.norm, *network.head.modules()])
    gradients, changed = update(free)
    assert {"encoder.0.weight", "encoder.1.running_mean"} <= changed
    assert "encoder.0.weight" in gradients
    assert all(module.training for module in network.modules())


def test_sgd_adds_its_momentum_to_each_step():
    network = Small()
    settings = {"name": "sgd", "momentum": 0.5, "learning_rate": 0.1, "weight_decay": 0.0}
    optimizer, weight = make_optimizer(network, recipe_of({}, optimizer=settings)), network.head.bias
    with torch.no_grad():
        weight.zero_()
    for expected in (-0.1, -0.25, -0.425):  # steps of 0.1, 0.1 + 0.05 and 0.1 + 0.075
        weight.grad = torch.ones(1)
        optimizer.step()
        assert float(weight.detach()) == pytest.approx(expected)
    assert recipe_of({}, optimizer={"name": "sgd"}).optimizer.momentum == 0.9
