import math
import subprocess
import sys

import pytest
import torch
from skimage import data
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from seriatim.core.errors import ConfigError, ShapeError
from seriatim.nn import DenseCRF
from seriatim.nn.crf.dense_crf import Smoothness, gaussian_band, gaussian_taps, taps_inside

THETAS = [(49.0, 5.0, 3.0), (160.0, 3.0, 3.0), (80.0, 13.0, 3.0)]


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def picture(size, top=100, dtype=torch.float32):
    pixels = data.immunohistochemistry()[top : top + size, 100 : 100 + size].copy()
    return torch.from_numpy(pixels).permute(2, 0, 1).to(dtype) / 255


def noisy_scores(image, labels, seed=0):
    """Scores that say which of several levels of brightness a pixel has, under noise that hides it for a third of them."""
    brightness = F.avg_pool2d(image.mean(0, keepdim=True), 5, 1, 2)[0]
    edges = torch.quantile(brightness, torch.linspace(0, 1, labels + 1)[1:-1].to(image.dtype))
    levels = torch.bucketize(brightness.contiguous(), edges)
    truth = F.one_hot(levels, labels).permute(2, 0, 1)
    return 1.5 * truth + random(*truth.shape, seed=seed, dtype=image.dtype)


def brute_force(unary, image, thetas, weights=(4.0, 3.0), iterations=5, compatibility=None):
    """Algorithm 1 of Krähenbühl and Koltun with both kernels as full matrices."""
    labels, height, width = unary.shape
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack((rows, columns), dim=-1).reshape(-1, 2).to(unary.dtype)
    colours = image.flatten(1).T * 255
    appearance = torch.cat((places / thetas[0], colours / thetas[1]), dim=1)
    kernels = []
    for features in (appearance, places / thetas[2]):
        kernel = torch.exp(-(torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist") ** 2) / 2)
        kernels.append(kernel / kernel.sum(dim=1, keepdim=True))
    scores = unary.flatten(1).T
    logits = scores
    costs = 1 - torch.eye(labels, dtype=unary.dtype) if compatibility is None else compatibility
    for _ in range(iterations):
        probs = logits.softmax(dim=1)
        messages = weights[0] * (kernels[0] @ probs) + weights[1] * (kernels[1] @ probs)
        logits = scores - messages @ costs.T
    return logits.T.reshape(unary.shape)


def assert_same_probs(ours, other, tolerance=5e-6):
    torch.testing.assert_close(ours.softmax(-3), other.softmax(-3), rtol=0, atol=tolerance)


@pytest.mark.parametrize("thetas", THETAS)
@pytest.mark.parametrize("labels", [3, 21])
def test_labels_agree_with_brute_force_after_five_iterations(thetas, labels):
    image = picture(48)
    unary = noisy_scores(image, labels)
    truth = brute_force(unary, image, thetas).argmax(0)
    with torch.no_grad():
        ours = DenseCRF(*thetas)(unary, image).argmax(0)
    assert (ours == truth).float().mean() >= 0.97
    assert (unary.argmax(0) == truth).float().mean() < 0.97


@pytest.mark.parametrize(
    ("labels", "height", "width"), [(1, 5, 5), (2, 1, 1), (3, 20, 31), (21, 33, 16), (24, 9, 9), (40, 7, 19)]
)
def test_the_kernels_equal_the_plain_form(labels, height, width):
    image, unary = picture(40)[:, :height, :width], 2 * random(labels, height, width)
    with torch.no_grad():
        plain = DenseCRF(10.0, 20.0, 2.0, method="plain")(unary, image)
        compiled = DenseCRF(10.0, 20.0, 2.0)(unary, image)
    composed = DenseCRF(10.0, 20.0, 2.0)(unary, image)
    assert composed.requires_grad
    assert_same_probs(compiled, plain)
    assert_same_probs(composed, plain)
    torch.testing.assert_close(compiled, plain, rtol=0, atol=5e-5)


def randomised(crf, seed=0):
    with torch.no_grad():
        for number, parameter in enumerate(crf.parameters()):
            parameter.copy_(random(*parameter.shape, seed=seed + number).abs() + 0.5)
    return crf


@pytest.mark.parametrize("label_weights", [False, True])
def test_the_kernels_equal_the_plain_form_with_learned_compatibility(label_weights):
    image, unary = picture(20), random(5, 20, 20)
    settings = {"compatibility": "learned", "num_labels": 5, "label_weights": label_weights}
    plain, compiled = (randomised(DenseCRF(10.0, 20.0, 2.0, method=m, **settings)) for m in ("plain", "auto"))
    with torch.no_grad():
        assert_same_probs(compiled(unary, image), plain(unary, image))


def test_a_lattice_too_large_for_its_room_is_filtered_in_parts(monkeypatch):
    image, unary = picture(20), random(21, 20, 20)
    crf = DenseCRF().requires_grad_(False)
    at_once = crf(unary, image)
    monkeypatch.setattr("seriatim.nn.crf.lattice_kernels.MAX_LATTICE_BYTES", 1)
    monkeypatch.setattr("seriatim.nn.crf.crf_kernels.MAX_LATTICE_BYTES", 1)
    torch.testing.assert_close(crf(unary, image), at_once)


def test_learned_compatibility_starts_as_potts():
    image, unary = picture(20), random(4, 20, 20)
    potts = DenseCRF(10.0, 20.0, 2.0)(unary, image)
    learned = DenseCRF(10.0, 20.0, 2.0, compatibility="learned", num_labels=4)(unary, image)
    assert_same_probs(learned, potts)
    assert (learned - potts).abs().max() > 1  # by a number that all labels of a pixel share


def test_one_iteration_is_the_equation():
    image, unary = picture(14, dtype=torch.float64), random(3, 14, 14, dtype=torch.float64)
    crf = randomised(DenseCRF(40.0, 60.0, 2.0, compatibility="learned", num_labels=3, num_mean_field_iterations=1))
    weights = crf.bilateral_weight.item(), crf.spatial_weight.item()
    truth = brute_force(unary, image, (40.0, 60.0, 2.0), weights, 1, crf.compatibility.detach().double())
    error = (crf(unary, image) - truth).norm() / (truth - unary).norm()
    assert error < 0.05


def test_a_label_that_cannot_be_never_is():
    image, unary = picture(16), random(3, 16, 16)
    unary[1, :8] = -math.inf
    for crf in (DenseCRF(), DenseCRF().requires_grad_(False)):
        out = crf(unary, image)
        assert (out[1, :8] == -math.inf).all()
        assert out[[0, 2]].isfinite().all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_have_any_number_of_channels(channels):
    image, unary = torch.rand(channels, 12, 13, generator=torch.Generator().manual_seed(0)), random(2, 12, 13)
    grey = image[:1].expand(channels, -1, -1)
    crf = DenseCRF(10.0, 40.0, 2.0).requires_grad_(False)
    assert crf(unary, image).shape == unary.shape
    spread = DenseCRF(10.0, 40.0 * channels**0.5, 2.0).requires_grad_(False)(unary, grey)
    assert (spread.softmax(0) - crf(unary, image[:1]).softmax(0)).abs().mean() < 0.05  # equal but for the lattice


@pytest.mark.parametrize("learns", [True, False])
def test_a_batch_is_refined_image_by_image(learns):
    images, unary = torch.stack([picture(20, top) for top in (0, 90, 180)]), random(3, 4, 20, 20)
    crf = DenseCRF().requires_grad_(learns)
    out = crf(unary, images)
    for number in range(3):
        torch.testing.assert_close(out[number], crf(unary[number], images[number]))


def test_prepared_kernels_serve_any_number_of_labels_and_iterations():
    image = picture(24)
    crf = DenseCRF()
    kernels = crf.prepare(image)
    for labels, iterations in ((2, 1), (5, 3)):
        unary = random(labels, 24, 24)
        crf.num_mean_field_iterations = iterations
        torch.testing.assert_close(crf.refine(unary, kernels), crf(unary, image))


@pytest.mark.parametrize("learns", [True, False])
def test_the_order_of_the_labels_does_not_matter(learns):
    image, unary = picture(24), random(6, 24, 24)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    crf = DenseCRF().requires_grad_(learns)
    assert_same_probs(crf(unary[order], image), crf(unary, image)[order])


@pytest.mark.parametrize("method", ["plain", "auto"])
def test_gradients_are_right(method):
    image, unary = picture(5, dtype=torch.float64), random(3, 5, 4, dtype=torch.float64).requires_grad_()
    crf = DenseCRF(
        20.0, 60.0, 1.0, num_mean_field_iterations=2, compatibility="learned", num_labels=3, method=method
    ).double()
    names = [name for name, _ in crf.named_parameters()]

    def run(scores, *parameters):
        return torch.func.functional_call(
            crf, dict(zip(names, parameters, strict=True)), (scores, image[..., :4])
        ).softmax(0)

    assert torch.autograd.gradcheck(run, (unary, *(each.detach().requires_grad_() for each in crf.parameters())))


def test_training_learns_the_weights():
    image = picture(24)
    target = noisy_scores(image, 3, seed=1).argmax(0)
    crf = DenseCRF(bilateral_weight=1.0, spatial_weight=1.0, num_mean_field_iterations=3)
    F.cross_entropy(crf(noisy_scores(image, 3), image)[None], target[None]).backward()
    assert crf.bilateral_weight.grad.abs() > 0
    assert crf.spatial_weight.grad.abs() > 0


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (17, 6), (31, 29)])
def test_the_smoothness_kernel_is_the_exact_gaussian_but_for_its_cut(size, compiled):
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    places = torch.stack((rows, columns), dim=-1).reshape(-1, 2).double()
    kernel = torch.exp(-(torch.cdist(places, places) ** 2) / (2 * 3.0**2))
    values = random(len(places), 3, dtype=torch.float64)
    truth = kernel @ values / kernel.sum(dim=1, keepdim=True)
    ours = Smoothness(size, 3.0, compiled).filter(values)
    torch.testing.assert_close(ours, truth, rtol=0, atol=4e-3)


def test_both_forms_of_the_smoothness_kernel_are_one_and_so_are_their_gradients():
    size = (11, 14)
    values, other = random(154, 9, dtype=torch.float64).requires_grad_(), random(154, 9, seed=1, dtype=torch.float64)
    outs = [Smoothness(size, 1.5, compiled).filter(values) for compiled in (True, False)]
    torch.testing.assert_close(*outs, rtol=0, atol=1e-12)
    grads = [torch.autograd.grad((out * other).sum(), values)[0] for out in outs]
    torch.testing.assert_close(*grads, rtol=0, atol=1e-12)
    assert torch.autograd.gradgradcheck(lambda v: Smoothness((3, 4), 1.5, True).filter(v) ** 2, values[:12, :1])


def test_bands_and_taps_say_the_same():
    taps = gaussian_taps(2.0)
    for length in (1, 4, 40):
        plain = torch.zeros(length, length, dtype=torch.float64)
        for row in range(length):
            for column in range(length):
                if abs(row - column) <= len(taps) // 2:
                    plain[row, column] = taps[len(taps) // 2 + abs(row - column)]
        torch.testing.assert_close(taps_inside(taps, length), plain.sum(dim=1))
        torch.testing.assert_close(gaussian_band(length, 2.0), plain / plain.sum(dim=1, keepdim=True))


def test_results_do_not_depend_on_the_number_of_threads():
    image, unary = picture(50), random(5, 50, 50)
    crf = DenseCRF().requires_grad_(False)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = crf(unary, image)
        torch.set_num_threads(3)
        assert torch.equal(crf(unary, image), alone)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("unary", "image", "words"),
    [
        (torch.zeros(2, 5, 4), torch.zeros(3, 4, 5), "expected float32 or float64 labels x 4 x 5"),
        (torch.full((2, 4, 5), math.nan), torch.zeros(3, 4, 5), "NaN"),
        (torch.zeros(2, 4, 5), torch.full((3, 4, 5), math.nan), "not finite"),
        (torch.zeros(2, 4, 5, dtype=torch.bfloat16), torch.zeros(3, 4, 5), "bfloat16"),
        (torch.zeros(2, 4, 5), torch.zeros(3, 4, 5, dtype=torch.bfloat16), "float32 or float64"),
        (torch.zeros(2, 2, 4, 5), torch.zeros(3, 3, 4, 5), "expected float32 or float64 3 x labels x 4 x 5"),
        (torch.zeros(0, 4, 5), torch.zeros(3, 4, 5), "labels x 4 x 5"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(unary, image, words):
    crf = DenseCRF()
    with pytest.raises(ShapeError, match=words):
        crf.refine(unary, crf.prepare(image))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"theta_alpha": 0.0}, "theta_alpha"),
        ({"theta_gamma": math.nan}, "theta_gamma"),
        ({"num_mean_field_iterations": 0}, "at least 1"),
        ({"compatibility": "pots"}, "did you mean 'potts'"),
        ({"compatibility": "learned"}, "num_labels"),
        ({"label_weights": True}, "num_labels"),
        ({"method": "fast"}, "method"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        DenseCRF(**settings)
    with pytest.raises(ShapeError, match="expected 4 labels"):
        DenseCRF(compatibility="learned", num_labels=4)(torch.zeros(3, 2, 2), torch.zeros(3, 2, 2))


@pytest.mark.gpu
def test_an_accelerator_gives_what_the_cpu_gives():
    image, unary = picture(40), random(5, 40, 40)
    crf = DenseCRF()
    ours = crf(unary, image)
    there = crf.cuda()(unary.cuda(), image.cuda())
    assert_same_probs(there.cpu(), ours, 1e-4)
    there.square().sum().backward()
    assert crf.bilateral_weight.grad is not None


@pytest.mark.slow
def test_a_megapixel_with_21_labels_takes_less_than_a_gigabyte():
    program = """
import pathlib, torch
from seriatim.nn import DenseCRF
torch.manual_seed(0)
image = (torch.rand(3, 100, 100).repeat_interleave(10, 1).repeat_interleave(10, 2) + 0.03 * torch.randn(3, 1000, 1000)).clamp(0, 1)
unary = torch.randn(21, 1000, 1000)
status = pathlib.Path("/proc/self/status")
resident = int(status.read_text().split("VmRSS:")[1].split()[0])
with torch.no_grad():
    DenseCRF(num_mean_field_iterations=2)(unary, image)
print(int(status.read_text().split("VmHWM:")[1].split()[0]) - resident)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=True)
    assert int(done.stdout) < 1_000_000


@pytest.mark.parametrize("label_weights", [False, True])
@torch.no_grad()
def test_a_field_too_large_for_its_room_is_updated_some_labels_at_a_time(monkeypatch, label_weights):
    image, unary = picture(20), 3 * random(70, 20, 20)
    crf = randomised(DenseCRF(10.0, 20.0, 2.0, num_labels=70, label_weights=label_weights))
    at_once = crf(unary, image)
    calls = []
    refine_in_parts = crf._refine_in_parts
    monkeypatch.setattr(crf, "_refine_in_parts", lambda *given: calls.append(1) or refine_in_parts(*given))
    monkeypatch.setattr("seriatim.nn.crf.dense_crf.MAX_FIELD_BYTES", 1)
    before = unary.clone()
    assert_same_probs(crf(unary, image), at_once)
    assert len(calls) == 1
    assert torch.equal(unary, before)


@pytest.mark.parametrize("settings", [{}, {"compatibility": "learned", "num_labels": 4, "label_weights": True}])
def test_a_field_too_large_for_its_room_has_the_same_gradients(monkeypatch, settings):
    image, unary = picture(12), 3 * random(4, 12, 12)
    crf = randomised(DenseCRF(10.0, 20.0, 2.0, **settings))
    inputs, calls, gradients = (unary.requires_grad_(), *crf.parameters()), [], []
    monkeypatch.setattr(
        "seriatim.nn.crf.dense_crf.checkpoint", lambda *given, **named: calls.append(1) or checkpoint(*given, **named)
    )
    for most in (2**27, 1):
        monkeypatch.setattr("seriatim.nn.crf.dense_crf.MAX_FIELD_BYTES", most)
        gradients.append(torch.autograd.grad((crf(unary, image).softmax(0) ** 2).sum(), inputs))
    assert len(calls) == crf.num_mean_field_iterations
    for ours, other in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, other)
