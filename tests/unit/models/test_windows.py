import numpy as np
import pytest
import torch

from seriatim.models.guidance import DenseMaps, GuidanceConfig, GuidanceMemory, prepare
from seriatim.models.ris import RIS, RISConfig
from seriatim.models.rsis import RSIS, RSISConfig
from seriatim.models.windows import Window, WindowPlanner, cells_in, corner, cut, in_image, owned, put_back
from seriatim.nn.convlstm import ConvLSTMState


def memory_of(levels: list[tuple[int, int]], size: tuple[int, int], diameter: float = 8.0) -> GuidanceMemory:
    finest = levels[-1]
    maps = DenseMaps(
        torch.zeros(1, *finest),
        torch.zeros(1, *finest),
        torch.zeros(1, 2, *finest),
        torch.full((1, *finest), float(np.log2(diameter / 16))),
    )
    return prepare(maps, levels, size)


def planner(window: float, min_window: int = 1, most: int = 16) -> WindowPlanner:
    settings = GuidanceConfig(window=window, min_window=min_window, most_windows=most, seed_threshold=0.3)
    return WindowPlanner(memory_of([(8, 8), (32, 32)], (64, 64)), settings, (64, 64))


def test_a_window_has_the_side_of_some_diameters_in_cells_of_the_deepest_level():
    assert planner(2.0).around(0, (16, 16)).box == (3, 3, 5, 5)  # 2 diameters of 8 pixels; a deepest cell has 8
    assert planner(2.0, min_window=30).around(0, (16, 16)).size == (4, 4)


def test_a_window_at_the_edge_is_moved_into_the_image():
    assert planner(3.0).around(0, (0, 31)).box == (0, 5, 3, 8)


def test_without_a_window_or_where_the_levels_do_not_divide_the_image_it_is_the_whole_image():
    assert planner(0.0).around(0, (5, 5)).box == (0, 0, 8, 8)
    assert planner(100.0).around(0, (5, 5)).box == (0, 0, 8, 8)
    odd = WindowPlanner(memory_of([(2, 3), (4, 5)], (8, 10)), GuidanceConfig(window=1.0, min_window=1), (8, 10))
    assert odd.around(0, (1, 1)).box == (0, 0, 2, 3)
    flat = WindowPlanner(memory_of([(1, 4), (4, 32)], (8, 64)), GuidanceConfig(window=1.0, min_window=1), (8, 64))
    assert flat.around(0, (1, 9)).box == (0, 0, 1, 4)  # its cells are wider than high


def test_windows_of_a_round_share_no_cell_and_come_from_the_best_place_on():
    left = np.zeros((32, 32), dtype=np.float32)
    left[4, 4], left[6, 6], left[20, 20], left[28, 2] = 0.9, 0.8, 0.7, 0.2
    chosen = planner(2.0).choose(left, 0, 9)
    assert [window.cell for window in chosen] == [(4, 4), (20, 20)]  # (6, 6) is too near, (28, 2) too weak
    assert [window.cell for window in planner(2.0).choose(left, 0, 1)] == [(4, 4)]
    assert [window.cell for window in planner(2.0, most=1).choose(left, 0, 9)] == [(4, 4)]
    assert left[4, 4] == np.float32(0.9)


def test_what_is_cut_stepped_and_put_back_changes_its_window_alone():
    grid, windows = (2, 2), [Window(0, (0, 0, 1, 1), (0, 0)), Window(1, (1, 1, 2, 2), (3, 3))]
    blank = torch.zeros(2, 1, 4, 4)
    state = owned([ConvLSTMState(blank, blank, blank=True)])
    part = cut(state, windows, grid)
    assert part[0].hidden.shape == (2, 1, 2, 2)
    put_back(state, [ConvLSTMState(part[0].hidden + 1, part[0].cell + 2)], windows, grid)
    assert state[0].hidden.sum() == 8
    assert state[0].cell.sum() == 16
    assert state[0].hidden[0, 0, :2, :2].sum() == state[0].hidden[1, 0, 2:, 2:].sum() == 4
    assert not state[0].blank
    assert blank.sum() == 0


def test_what_is_the_same_for_all_images_or_all_cells_is_cut_or_kept():
    windows = [Window(1, (1, 0, 2, 1), (2, 0))]
    shared, single = torch.arange(16.0).view(1, 1, 4, 4), torch.ones(1, 3, 1, 1)
    assert cut(shared, windows, (2, 2)).flatten().tolist() == [8, 9, 12, 13]
    assert cut(single, windows, (2, 2)) is single
    assert cut(None, windows, (2, 2)) is None


def test_a_window_in_its_image():
    window = Window(0, (1, 1, 2, 2), (3, 2))
    planes = in_image(torch.ones(1, 4, 4), [window], (2, 2), (8, 8), 0.5)
    assert planes[0, 4:, 4:].eq(1).all()
    assert planes.sum() == 16 + 48 * 0.5
    assert corner(window, (2, 2), (8, 8)) == (4, 4)
    assert cells_in([window], (2, 2), (4, 4)) == [2]


def guided(model: str, window: float, **settings: float):
    torch.manual_seed(0)
    guidance = GuidanceConfig(window=window, min_window=16, seed_threshold=0.0, **settings)
    if model == "rsis":
        config = RSISConfig(
            encoder="resnet10t", encoder_depth=3, levels=3, width=8, max_steps=4, stop_threshold=0.0, guidance=guidance
        ).model_copy(update={"extensions": RSISConfig().extensions.model_copy(update={"pyramid_channels": 8})})
        return RSIS(config).eval()
    fcn = {"encoder": "resnet10t", "encoder_depth": 3, "channels": 8}
    return RIS(
        RISConfig(fcn="pyramid", **fcn, initial_threshold=5.5, max_steps=4, stop_threshold=0.0, guidance=guidance)
    ).eval()


@pytest.mark.parametrize("model", ["rsis", "ris"])
def test_windows_as_large_as_the_image_give_what_steps_in_the_whole_image_give(model):
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    whole, windows = guided(model, 0.0), guided(model, 1000.0)
    with torch.inference_mode():
        expected, got = list(whole.detect(images)), list(windows.detect(images))
    for image in (0, 1):
        ours, theirs = ([one for one in found if one.image == image] for found in (got, expected))
        assert len(ours) == len(theirs) > 0
        for one, other in zip(ours, theirs, strict=True):
            assert one.instance.box == other.instance.box
            assert one.instance.step == other.instance.step
            assert torch.allclose(one.probs, other.probs, atol=1e-5)


@pytest.mark.parametrize("policy", ["first", "skip"])
@pytest.mark.parametrize("model", ["rsis", "ris"])
def test_a_sequence_in_windows_ends_and_leaves_out_as_one_in_the_whole_image(model, policy):
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    whole, windows = guided(model, 0.0), guided(model, 1000.0)
    with torch.inference_mode():
        scores = sorted(one.instance.score for one in whole.detect(images))
        for network in (whole, windows):
            network.config = network.config.model_copy(
                update={"stop_threshold": (scores[-2] + scores[-1]) / 2, "stop_policy": policy}
            )
        expected, got = ([(one.image, one.instance.step) for one in net.detect(images)] for net in (whole, windows))
    assert sorted(got) == sorted(expected)
    assert len(got) < len(scores)


@pytest.mark.parametrize("model", ["rsis", "ris"])
def test_small_windows_find_objects_inside_the_window_around_their_place(model):
    network = guided(model, 0.01)
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = list(network.detect(images))
    assert found
    for one in found:
        y0, x0, y1, x1 = one.instance.box
        assert max(y1 - y0, x1 - x0) <= 16
        assert int((one.probs >= 0.5).sum()) == one.instance.area
    assert [one.instance.step for one in found] == sorted(one.instance.step for one in found)
    assert len({one.instance.step for one in found}) == len(found)
