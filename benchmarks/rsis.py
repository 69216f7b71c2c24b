"""RSIS at the paper's setting (ResNet-101, D = 128, 256 x 256, 10 steps), beside a plain implementation of the same equations.

    python benchmarks/rsis.py --repeats 5

The plain implementation does at every step what eq. 1 and 2 say, as the authors' program does: concatenate [B2(h) | S | h], convolve all of
it, and resize the last hidden state to the size of the image before the convolution that makes the mask. It has the same weights and must give
the same outputs. Each pair of times is taken in turns (A B A B ...) in one process; a ratio is the median of the plain times over the median
of ours. About 8 minutes with one thread and 5 repeats.

    decoder            from the projected features S_i (which the authors' program makes in its encoder) to the masks of all steps
    projected decoder  from the encoder's features, the projections included
    whole              from the image to the masks of all steps
    whole in bfloat16  ours in bfloat16 beside the plain one in float32, and beside the plain one in bfloat16
    training           one iteration: forward, Hungarian assignment, all terms of the loss, backward
    costs              soft IoU of 10 predictions with 20 objects, as one product beside pair by pair
"""

import argparse
import copy
from collections.abc import Callable
from typing import Any

import torch
from measuring import in_turns, make_parser, median_wall, parse, save
from torch import Tensor, nn
from torch.nn import functional as F

from seriatim.core.provenance import Start
from seriatim.losses.soft_iou import soft_iou_costs
from seriatim.models.rsis import RSIS, RSISConfig, RSISObjectiveConfig, RSISOutput, objective

NUM_CLASSES = 20


class PlainRSIS(nn.Module):
    """Eq. 1 and 2 as they are printed, with the weights of an `RSIS` of the paper's kind (no extension, skips concatenated)."""

    def __init__(self, network: RSIS) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.projections = network.projections
        self.mask_head, self.class_head, self.stop_head = network.mask_head, network.class_head, network.stop_head
        self.gates = nn.ModuleList()
        for convlstm in network.convlstms:
            inputs = convlstm.changing.in_channels - convlstm.hidden_channels
            changing, hidden = convlstm.changing.weight.detach().split((inputs, convlstm.hidden_channels), dim=1)
            weight = torch.cat((changing, convlstm.constant.weight.detach(), hidden), dim=1)
            gates = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            gates.load_state_dict({"weight": weight, "bias": convlstm.constant.bias.detach()})
            self.gates.append(gates)

    def forward(self, images: Tensor, num_steps: int) -> RSISOutput:
        skips = [project(feature) for project, feature in zip(self.projections, self.encoder(images), strict=True)]
        hidden: list[Tensor] = []
        cell: list[Tensor] = []
        for gates, skip in zip(self.gates, skips, strict=True):
            zeros = skip.new_zeros(len(skip), gates.out_channels // 4, *skip.shape[2:])
            hidden.append(zeros)
            cell.append(zeros)
        outputs = []
        for _ in range(num_steps):
            for level, (gates, skip) in enumerate(zip(self.gates, skips, strict=True)):
                parts = [skip, hidden[level]]
                if level:
                    parts.insert(
                        0, F.interpolate(hidden[level - 1], size=skip.shape[2:], mode="bilinear", align_corners=False)
                    )
                input_gate, forget_gate, output_gate, candidate = gates(torch.cat(parts, dim=1)).chunk(4, dim=1)
                cell[level] = forget_gate.sigmoid() * cell[level] + input_gate.sigmoid() * candidate.tanh()
                hidden[level] = output_gate.sigmoid() * cell[level].tanh()
            full = F.interpolate(hidden[-1], size=images.shape[2:], mode="bilinear", align_corners=False)
            pooled = torch.cat([one.amax(dim=(2, 3)) for one in hidden], dim=1)
            outputs.append(
                (
                    self.mask_head(full)[:, 0].float(),
                    self.class_head(pooled).float(),
                    self.stop_head(pooled)[:, 0].float(),
                )
            )
        masks, classes, stops = (torch.stack(parts, dim=1) for parts in zip(*outputs, strict=True))
        return RSISOutput(masks, classes, stops, torch.ones_like(stops))


class GivenFeatures(nn.Module):
    """Stands in for the encoder where only the decoder is measured."""

    def __init__(self, features: list[Tensor]) -> None:
        super().__init__()
        self.features = features

    def forward(self, images: Tensor) -> list[Tensor]:
        return list(self.features)


def pairwise_costs(pred_probs: Tensor, target_masks: Tensor) -> Tensor:
    """Eq. 3 of every pair, one pair after another."""
    costs = pred_probs.new_zeros(len(pred_probs), pred_probs.shape[1], target_masks.shape[1])
    for image in range(len(pred_probs)):
        for step in range(pred_probs.shape[1]):
            for target in range(target_masks.shape[1]):
                pred, mask = pred_probs[image, step], target_masks[image, target]
                costs[image, step, target] = 1 - (pred * mask).sum() / ((pred + mask - pred * mask).sum() + 1e-6)
    return costs


def compare(plain: Callable[[], Any], ours: Callable[[], Any], repeats: int, device: torch.device) -> dict[str, float]:
    def synchronize() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    times = in_turns({"plain": plain, "ours": ours}, repeats, warm_ups=2, synchronize=synchronize)
    plain_seconds, our_seconds = median_wall(times["plain"]), median_wall(times["ours"])
    return {
        "plain_ms": round(1e3 * plain_seconds, 2),
        "ours_ms": round(1e3 * our_seconds, 2),
        "ratio": round(plain_seconds / our_seconds, 2),
    }


def largest_difference(one: RSISOutput, other: RSISOutput) -> float:
    """Over mask, class and stop logits."""
    pairs = (
        (one.mask_logits, other.mask_logits),
        (one.class_logits, other.class_logits),
        (one.stop_logits, other.stop_logits),
    )
    return max(float((a.float() - b.float()).abs().max()) for a, b in pairs)


class Unchanged(nn.Module):
    """Stands in for a projection where its result is given."""

    def forward(self, features: Tensor) -> Tensor:
        return features


def without_projections(network: Any, skips: list[Tensor]) -> Any:
    """The same network on given S_i; it shares all weights."""
    decoder = without_encoder(network, skips)
    decoder._modules["projections"] = nn.ModuleList(Unchanged() for _ in skips)
    return decoder


def without_encoder(network: Any, features: list[Tensor]) -> Any:
    """The same network on given features; it shares all weights."""
    decoder = copy.copy(network)
    decoder._modules = {**network._modules, "encoder": GivenFeatures(features)}
    return decoder


def make_networks(options: argparse.Namespace, device: torch.device) -> tuple[RSIS, PlainRSIS]:
    """Both networks, with random weights under which every layer responds, so that a difference shows; ours in the memory format that `load` uses."""
    torch.manual_seed(0)
    network = RSIS(RSISConfig(encoder=options.encoder, width=options.width, num_classes=NUM_CLASSES))
    for module in network.encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.encoder.train()(torch.rand(4, 3, options.size, options.size))
        for part in (*network.convlstms, network.mask_head):
            for parameter in part.parameters():
                parameter.mul_(3)
    network = network.eval().to(device)
    plain = PlainRSIS(copy.deepcopy(network)).eval()
    return network.to(memory_format=torch.channels_last), plain


def measure_inference(options: argparse.Namespace, device: torch.device, batch: int) -> dict[str, Any]:
    network, plain = make_networks(options, device)
    images = torch.rand(batch, 3, options.size, options.size, device=device)

    def beside(plain: Callable[..., RSISOutput], ours: Callable[..., RSISOutput]) -> dict[str, Any]:
        output = ours(images, options.steps)
        difference = largest_difference(output, plain(images, options.steps))
        assert difference < 1e-4, f"outputs differ by {difference}"
        times = compare(
            lambda: plain(images, options.steps), lambda: ours(images, options.steps), options.repeats, device
        )
        return {**times, "largest_difference": difference, "spread_of_mask_logits": float(output.mask_logits.std())}

    def plain_in_bfloat16() -> RSISOutput:
        with torch.autocast(device.type, torch.bfloat16):
            return plain(images, options.steps)

    with torch.inference_mode():
        ours_features = network.encoder(images.contiguous(memory_format=torch.channels_last))
        plain_features = plain.encoder(images)
        ours_skips = [project(one) for project, one in zip(network.projections, ours_features, strict=True)]
        plain_skips = [project(one) for project, one in zip(plain.projections, plain_features, strict=True)]
        results = {
            "decoder_float32": beside(
                without_projections(plain, plain_skips), without_projections(network, ours_skips)
            ),
            "projected_decoder_float32": beside(
                without_encoder(plain, plain_features), without_encoder(network, ours_features)
            ),
            "whole_float32": beside(plain, network),
        }
        half = network_in_bfloat16(network)
        exact, rounded = network(images, options.steps), half(images, options.steps)
        error = float((rounded.mask_logits.sigmoid() - exact.mask_logits.sigmoid()).abs().max())
        results["whole_bfloat16_beside_float32"] = {
            **compare(
                lambda: plain(images, options.steps), lambda: half(images, options.steps), options.repeats, device
            ),
            "largest_difference_of_mask_probs": error,
        }
        results["whole_bfloat16_beside_bfloat16"] = compare(
            plain_in_bfloat16, lambda: half(images, options.steps), options.repeats, device
        )
    return results


def network_in_bfloat16(network: RSIS) -> Callable[[Tensor, int], RSISOutput]:
    """Ours in bfloat16, as `Predictor` runs it with `inference.precision = "bfloat16"`."""

    def run(images: Tensor, num_steps: int) -> RSISOutput:
        with torch.autocast(images.device.type, torch.bfloat16):
            return network(images, num_steps)

    return run


def measure_training(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    network, plain = make_networks(options, device)
    generator = torch.Generator().manual_seed(1)
    batch, size, steps = options.training_batch, options.size, options.steps
    images = torch.rand(batch, 3, size, size, generator=generator).to(device)
    labels = torch.zeros(batch, size, size, dtype=torch.long)
    for number in range(1, steps):
        y, x = (int(torch.randint(0, size - size // 4, (1,), generator=generator)) for _ in range(2))
        labels[:, y : y + size // 4, x : x + size // 4] = number
    classes = torch.ones(batch, int(labels.max()), dtype=torch.long, device=device)
    labels = labels.to(device)
    weights = RSISObjectiveConfig(mask=1.0, classification=0.1, stop=0.5)

    def iterate(model: nn.Module) -> Tensor:
        model.zero_grad(set_to_none=True)
        total = torch.stack(list(objective(model(images, steps), labels, classes, weights).values())).sum()
        total.backward()
        return total.detach()

    ours_loss, plain_loss = float(iterate(network)), float(iterate(plain))
    assert abs(ours_loss - plain_loss) < 1e-3 * abs(plain_loss), f"training: losses {ours_loss} and {plain_loss}"
    result: dict[str, Any] = compare(lambda: iterate(plain), lambda: iterate(network), options.repeats, device)
    return {**result, "batch": batch, "loss_ours": ours_loss, "loss_plain": plain_loss}


def measure_costs(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(2)
    probs = torch.rand(1, 10, options.size**2, generator=generator).to(device)
    masks = (torch.rand(1, 20, options.size**2, generator=generator) < 0.1).float().to(device)
    with torch.inference_mode():
        difference = float((soft_iou_costs(probs, masks) - pairwise_costs(probs, masks)).abs().max())
        assert difference < 1e-4, f"costs: differ by {difference}"
        result: dict[str, Any] = compare(
            lambda: pairwise_costs(probs, masks), lambda: soft_iou_costs(probs, masks), options.repeats, device
        )
    return {**result, "largest_difference": difference, "steps": 10, "objects": 20}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--encoder", default="resnet101")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--training-batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options = parse(parser)
    started = Start()
    device = torch.device(options.device)
    results: dict[str, Any] = {}
    for batch in options.batches:
        results[f"inference_batch_{batch}"] = measure_inference(options, device, batch)
    results["training"] = measure_training(options, device)
    results["costs"] = measure_costs(options, device)
    setting = {name: getattr(options, name) for name in ("encoder", "width", "size", "steps", "repeats", "threads")}
    save("rsis", {"setting": setting, "results": results}, started, options.json, options.device)


if __name__ == "__main__":
    main()
