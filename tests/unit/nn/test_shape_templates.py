import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seriatim.core.batch import Prompts
from seriatim.core.errors import CheckpointError, ConfigError, DataError
from seriatim.core.tensor_files import save_tensors
from seriatim.nn.detections import read_detections
from seriatim.nn.shape_templates import (
    NUM_BINS,
    ShapeTerm,
    cluster,
    make_templates,
    mean_of_cells,
    read_templates,
    warp_matrix,
    write_templates,
)


def random(*shape, seed=0):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def detections_of(box, size):
    boxes = torch.tensor([box], dtype=torch.float64)
    prompts = Prompts(boxes, torch.ones(1), torch.ones(1, dtype=torch.long), torch.zeros(0, 2))
    return read_detections(prompts, size, 1, dtype=torch.float64)


def term_with(templates):
    term = ShapeTerm(templates.shape[1], templates.shape[-1]).double()
    term.set_templates(templates)
    return term


@pytest.mark.parametrize("size", [(4, 4), (3, 9), (17, 5), (1, 2)])
def test_the_warp_is_bilinear_interpolation(size):
    template = random(6, 6)
    rows, columns = (warp_matrix(0.0, float(length), range(length), 6) for length in size)
    expected = F.interpolate(template[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    torch.testing.assert_close(rows @ template @ columns.T, expected)


def test_a_part_of_a_box_is_warped_like_the_whole():
    whole, part = (warp_matrix(-2.0, 7.0, range(*ends), 5) for ends in ((-2, 7), (0, 4)))
    torch.testing.assert_close(part, whole[2:6])


@pytest.mark.parametrize("box", [(1.0, 2.0, 6.0, 9.0), (-3.0, 4.0, 5.0, 20.0), (0.3, 1.2, 7.9, 3.6)])
@torch.no_grad()
def test_the_match_is_that_of_warping_every_template(box):
    size, templates = (8, 12), random(NUM_BINS, 4, 5, 5, seed=1)
    term, probs, detections = term_with(templates), random(*size), detections_of(box, size)
    y0, x0, y1, x1 = detections.pixel_box(0)
    rows = warp_matrix(box[0], box[2], range(y0, y1), 5)
    columns = warp_matrix(box[1], box[3], range(x0, x1), 5)
    inside = probs[y0:y1, x0:x1]
    warped = [rows @ template @ columns.T for template in templates.flatten(0, 1)]
    scores = [float((inside * one).sum() / (inside.norm() * one.norm())) for one in warped]
    best = int(np.argmax(scores))
    match = term.match(inside, rows, columns)
    assert match.number == best
    assert match.score == pytest.approx(scores[best])
    expected = torch.zeros(size, dtype=torch.float64)
    expected[y0:y1, x0:x1] = inside * warped[best]
    torch.testing.assert_close(term(probs, detections, 0), expected)


@torch.no_grad()
def test_of_equal_templates_the_first_is_taken():
    templates = torch.zeros(NUM_BINS, 3, 4, 4, dtype=torch.float64)
    templates[1, 2] = templates[3, 0] = random(4, 4)
    assert term_with(templates).match(random(4, 4, seed=1), *2 * [torch.eye(4, dtype=torch.float64)]).number == 5


@torch.no_grad()
def test_where_no_template_has_anything_in_common_the_term_is_0():
    templates = torch.zeros(NUM_BINS, 1, 4, 4, dtype=torch.float64)
    templates[2, 0, :, :2] = 1
    probs = torch.zeros(4, 4, dtype=torch.float64)
    probs[:, 3] = 0.7
    term, detections = term_with(templates), detections_of((0, 0, 4, 4), (4, 4))
    assert not term(probs, detections, 0).any()
    assert not term(torch.zeros_like(probs), detections, 0).any()
    assert term(probs.flip(1), detections, 0).any()
    term.set_templates(torch.full_like(templates, -1))  # as learning may make them
    assert not term(probs, detections, 0).any()


def test_the_gradient_goes_to_the_segmentation_and_to_the_matched_template_alone():
    term, detections = term_with(random(NUM_BINS, 2, 4, 4, seed=2)), detections_of((1, -1, 6, 4), (7, 6))
    probs = random(7, 6).requires_grad_()
    start = term.templates.detach().clone().requires_grad_()

    def run(probs, templates):
        return torch.func.functional_call(term, {"templates": templates}, (probs, detections, 0))

    assert torch.autograd.gradcheck(run, (probs, start))
    run(probs, start).sum().backward()
    assert (start.grad.flatten(2).abs().sum(dim=2) > 0).sum() == 1


def test_untold_it_begins_with_an_ellipse():
    term = ShapeTerm(3, 16)
    assert term.templates.detach().flatten(0, 1).any(dim=-1).any(dim=-1).sum() == 1
    assert float(term.templates[0, 0].detach().mean()) == pytest.approx(np.pi / 4, abs=0.04)


def test_templates_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="expected 5 bins of at most 2 templates of 4 x 4"):
        ShapeTerm(2, 4).set_templates(torch.zeros(NUM_BINS, 3, 4, 4))


def test_masks_become_means_of_cells():
    mask = np.zeros((5, 7), dtype=bool)
    mask[1:4, 2:6] = True
    fine = np.kron(mask, np.ones((3 * 4, 3 * 4)))  # every pixel 12 x 12, so that 3 x 4 cells hold whole ones
    expected = fine.reshape(3, 20, 84).mean(axis=1).reshape(3, 3, 28).mean(axis=2)
    np.testing.assert_allclose(mean_of_cells(mask, 3), expected)


def test_templates_are_the_means_of_clusters_of_each_aspect_ratio():
    disc, corner = np.ones((8, 8), dtype=bool), np.zeros((8, 8), dtype=bool)
    corner[:4, :4] = corner[7, 7] = True
    wide = np.ones((2, 9), dtype=bool)
    templates = make_templates([disc, corner, disc, wide, corner], templates_per_bin=2, side=4)
    assert templates.shape == (NUM_BINS, 2, 4, 4)
    middle = {tuple(one.flatten().tolist()) for one in templates[2]}
    assert middle == {tuple(mean_of_cells(one, 4).ravel().tolist()) for one in (disc, corner)}
    torch.testing.assert_close(templates[0], torch.stack((torch.ones(4, 4), torch.zeros(4, 4))))
    assert not templates[[1, 3, 4]].any()


def test_there_are_no_more_templates_than_asked_for_and_the_same_seed_gives_the_same():
    masks = [np.random.default_rng(seed).random((6, 6)) < 0.7 for seed in range(40)]
    first = make_templates(masks, templates_per_bin=5, side=6, seed=1)
    assert first.shape == (NUM_BINS, 5, 6, 6)
    assert first[2].any(dim=-1).any(dim=-1).all()
    assert torch.equal(first, make_templates(masks, templates_per_bin=5, side=6, seed=1))
    assert not torch.equal(first, make_templates(masks, templates_per_bin=5, side=6, seed=2))


def test_clusters_are_found():
    generator = np.random.default_rng(0)
    places = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 9.0]])
    points = np.repeat(places, 20, axis=0) + 0.1 * generator.standard_normal((60, 2))
    centres = cluster(points, 3, generator, 50)
    means = points.reshape(3, 20, 2).mean(axis=1)
    np.testing.assert_allclose(centres[np.lexsort(centres.T)], means[np.lexsort(means.T)], atol=1e-9)
    assert len(cluster(np.zeros((4, 2)), 3, generator, 50)) == 1


def test_masks_without_pixels_and_no_masks_are_refused():
    with pytest.raises(DataError, match="mask 1, of shape"):
        make_templates([np.ones((2, 2), dtype=bool), np.zeros((2, 2), dtype=bool)])
    with pytest.raises(DataError, match="no object"):
        make_templates([])


def test_templates_are_kept_in_a_file(tmp_path):
    templates = random(NUM_BINS, 2, 4, 4).float()
    write_templates(tmp_path / "shapes.safetensors", templates, "drawn")
    assert torch.equal(read_templates(tmp_path / "shapes.safetensors"), templates)
    save_tensors(tmp_path / "other.safetensors", {"other": templates}, {})
    with pytest.raises(CheckpointError, match="holds no shape templates"):
        read_templates(tmp_path / "other.safetensors")
