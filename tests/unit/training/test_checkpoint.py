import copy
import logging

import pytest
import torch

from seriatim.core.errors import CheckpointError, TrainingDivergedError
from seriatim.core.tensor_files import save_tensors
from seriatim.training.checkpoint import NUM_KEPT, RunState, checkpoints, load_newest, save_checkpoint


def make(seed=0, width=3):
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.BatchNorm1d(width), torch.nn.Linear(width, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1, weight_decay=0.01)
    return network, optimizer


def update(network, optimizer, seed):
    inputs = torch.randn(8, 2, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    network(inputs).square().mean().backward()
    optimizer.step()


@pytest.fixture
def trained(tmp_path):
    """A network after five updates, a checkpoint after each; copies of all states."""
    network, optimizer = make()
    copies = {}
    for iteration in range(1, 6):
        update(network, optimizer, iteration)
        save_checkpoint(
            tmp_path, network, optimizer, RunState(iteration, iteration * 8, best_loss=1 / iteration, log_bytes=7)
        )
        copies[iteration] = copy.deepcopy((network.state_dict(), optimizer.state_dict()["state"]))
    return tmp_path, copies


def same(first, second):
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)


def test_the_newest_two_are_kept(trained):
    folder, _ = trained
    assert [path.name for path in checkpoints(folder)] == ["00000004.safetensors", "00000005.safetensors"]
    assert NUM_KEPT == 2


def test_weights_moments_and_counters_are_restored_exactly(trained):
    folder, copies = trained
    network, optimizer = make(seed=1)
    state = load_newest(folder, network, optimizer)
    assert state == RunState(5, 40, best_loss=0.2, log_bytes=7)
    assert same(network.state_dict(), copies[5][0])
    assert same(optimizer.state_dict()["state"], copies[5][1])
    undisturbed, its_optimizer = make()
    for seed in range(1, 8):
        update(undisturbed, its_optimizer, seed)
    for seed in (6, 7):
        update(network, optimizer, seed)
    assert same(network.state_dict(), undisturbed.state_dict())


def test_the_momentum_of_sgd_is_restored_exactly(tmp_path):
    networks = [torch.nn.Linear(2, 1) for _ in range(2)]
    optimizers = [torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9) for network in networks]
    for seed in range(3):
        update(networks[0], optimizers[0], seed)
    save_checkpoint(tmp_path, networks[0], optimizers[0], RunState(3))
    load_newest(tmp_path, networks[1], optimizers[1])
    for seed in range(3, 5):
        for network, optimizer in zip(networks, optimizers, strict=True):
            update(network, optimizer, seed)
    assert same(networks[0].state_dict(), networks[1].state_dict())


@pytest.mark.filterwarnings("ignore:for weight. copying from a non-meta parameter")
def test_moments_of_a_single_number_go_to_the_device_of_their_weight(tmp_path):
    network = torch.nn.Module()
    network.weight = torch.nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.Adam(network.parameters())
    network.weight.grad = torch.tensor(1.0)
    optimizer.step()
    save_checkpoint(tmp_path, network, optimizer, RunState(1))
    elsewhere = torch.nn.Module()
    elsewhere.weight = torch.nn.Parameter(torch.tensor(1.0, device="meta"))
    moved = torch.optim.Adam(elsewhere.parameters())
    load_newest(tmp_path, elsewhere, moved)
    devices = {key: value.device.type for key, value in moved.state[elsewhere.weight].items()}
    assert devices == {"step": "cpu", "exp_avg": "meta", "exp_avg_sq": "meta"}


def test_moments_of_before_do_not_survive_loading(trained):
    folder, copies = trained
    network, optimizer = make(seed=1)
    update(network, optimizer, 99)
    load_newest(folder, network, optimizer)
    assert same(optimizer.state_dict()["state"], copies[5][1])


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:100] + b"x" + data[101:], lambda data: b""]
)
def test_a_damaged_newest_one_is_named_and_the_one_before_taken(trained, caplog, damage):
    folder, copies = trained
    newest = checkpoints(folder)[-1]
    newest.write_bytes(damage(newest.read_bytes()))
    network, optimizer = make(seed=1)
    with caplog.at_level(logging.WARNING):
        state = load_newest(folder, network, optimizer)
    assert state.iteration == 4
    assert newest.name in caplog.text
    assert "trying the checkpoint before it" in caplog.text
    assert same(network.state_dict(), copies[4][0])
    assert same(optimizer.state_dict()["state"], copies[4][1])


def test_nothing_is_none_and_nothing_intact_is_an_error(trained):
    folder, _ = trained
    assert load_newest(folder / "nothing", *make()) is None
    for path in checkpoints(folder):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="none of 2 checkpoints is intact"):
        load_newest(folder, *make())


def test_a_checkpoint_of_another_network_is_refused(trained):
    folder, _ = trained
    with pytest.raises(CheckpointError, match=r"00000005\.safetensors: is of another network"):
        load_newest(folder, *make(width=4))


def test_an_intact_file_that_is_no_checkpoint_is_refused(tmp_path):
    for metadata in ({}, {"state": "3"}, {"state": '{"epoch": 3}'}, {"state": "{"}):
        save_tensors(tmp_path / "00000001.safetensors", {"network.a": torch.zeros(1)}, metadata)
        with pytest.raises(CheckpointError, match="is not a checkpoint of a run"):
            load_newest(tmp_path, *make())


def test_a_write_that_fails_leaves_the_older_checkpoints(trained, monkeypatch):
    folder, _ = trained

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match=r"00000006\.safetensors: could not write \d+ bytes: No space left on device"):
        save_checkpoint(folder, *make(), RunState(6))
    monkeypatch.undo()
    assert load_newest(folder, *make()).iteration == 5
    assert len(list(folder.iterdir())) == 2


def test_other_files_are_no_checkpoints_and_temporary_files_are_removed(trained):
    folder, _ = trained
    for name in ("model.safetensors", "0000001.safetensors", ".seriatim-0123456789abcdef.part"):
        (folder / name).write_bytes(b"")
    assert load_newest(folder, *make()).iteration == 5
    assert sorted(path.name for path in folder.iterdir()) == [
        "00000004.safetensors",
        "00000005.safetensors",
        "0000001.safetensors",
        "model.safetensors",
    ]


def test_a_checkpoint_from_before_there_were_plateaus_goes_on_with_the_whole_rate(tmp_path):
    network, optimizer = make()
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    known_then = (
        '{"iteration": 7, "crops_drawn": 56, "stage": 0, "stage_iteration": 7, "num_objects": 0, "best_loss": Infinity,'
        ' "stale_validations": 0, "best_score": -Infinity, "log_bytes": 12}'
    )
    save_tensors(tmp_path / "00000007.safetensors", tensors, {"state": known_then})
    assert load_newest(tmp_path, network, optimizer) == RunState(
        7, 56, stage_iteration=7, log_bytes=12, rate_factor=1.0
    )


def test_what_plateaus_have_left_of_the_rate_is_restored(tmp_path):
    network, optimizer = make()
    save_checkpoint(tmp_path, network, optimizer, RunState(3, rate_factor=0.01))
    assert load_newest(tmp_path, network, optimizer).rate_factor == 0.01


def test_the_checkpoint_of_the_start_goes_with_the_first_other_one(tmp_path):
    network, optimizer = make()
    for iteration, left in ((0, ["00000000"]), (1, ["00000001"]), (2, ["00000001", "00000002"])):
        save_checkpoint(tmp_path, network, optimizer, RunState(iteration))
        assert [path.stem for path in checkpoints(tmp_path)] == left


@pytest.mark.parametrize("where", ["weights", "moments"])
def test_what_is_not_finite_is_not_saved_and_nothing_is_removed(trained, where):
    folder, _ = trained
    network, optimizer = make()
    update(network, optimizer, 1)
    parameter = next(network.parameters())
    with torch.no_grad():
        (parameter if where == "weights" else optimizer.state[parameter]["exp_avg_sq"])[0, 0] = torch.inf
    with pytest.raises(
        TrainingDivergedError, match=r"iteration 6: .*0\.weight is not finite .* of iteration 5, is kept"
    ):
        save_checkpoint(folder, network, optimizer, RunState(6))
    assert [path.stem for path in checkpoints(folder)] == ["00000004", "00000005"]
