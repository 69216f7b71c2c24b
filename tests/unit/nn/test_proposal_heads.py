"""What is read from the features of a proposal; the arithmetic is in `tests/equations/test_r2ios.py`."""

import pytest
import torch

from seriatim.core.errors import CheckpointError
from seriatim.nn.proposal_heads import MaskHead, RefinementHead

BOXES, IMAGES = torch.tensor([[0.0, 0.0, 20.0, 30.0], [5.0, 5.0, 40.0, 41.0]]), torch.tensor([0, 1])


def mask_head_of(rebuilding="autoencoder", pooling="align"):
    torch.manual_seed(0)
    return MaskHead(4, 6, 5, 8, pooling, rebuilding, 7, False, None)


def refinement_head_of(seen_values=50, dropout=0.0):
    torch.manual_seed(0)
    return RefinementHead(4, 9, 3, 16, "align", 3, seen_values, dropout)


@pytest.mark.parametrize("rebuilding", ["autoencoder", "fully_connected", "none"])
@pytest.mark.parametrize("pooling", ["align", "max"])
def test_a_mask_head_gives_background_and_foreground_of_every_cell(rebuilding, pooling):
    head, features = mask_head_of(rebuilding, pooling), torch.rand(2, 4, 6, 6)
    assert head(head.project(features), BOXES, IMAGES).shape == (2, 2, 5, 5)
    assert head(head.project(features), BOXES[:0], IMAGES[:0]).shape == (0, 2, 5, 5)


def test_a_box_reads_its_own_image():
    head, features = mask_head_of(), torch.rand(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    both = head(head.project(features), BOXES[:1].repeat(2, 1), IMAGES)
    swapped = head(head.project(features.flip(0)), BOXES[:1].repeat(2, 1), IMAGES)
    torch.testing.assert_close(both, swapped.flip(0))
    assert not torch.allclose(both[0], both[1])


def test_a_refinement_head_gives_a_logit_and_four_offsets_of_every_label():
    head, features = refinement_head_of(), torch.rand(2, 4, 3, 3)
    for count in (2, 0):
        logits, offsets = head(features, BOXES[:count], IMAGES[:count], torch.rand(count, 2, 5, 5))
        assert logits.shape == (count, 3)
        assert offsets.shape == (count, 3, 4)


def test_dropout_scales_what_it_keeps_and_a_generator_asks_for_it():
    head, features, masks = refinement_head_of(dropout=0.5), torch.rand(2, 4, 3, 3), torch.rand(2, 2, 5, 5)
    seen = []
    head.fc7.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    head(features, BOXES, IMAGES, masks)
    head(features, BOXES, IMAGES, masks, torch.Generator().manual_seed(0))
    whole, thinned = seen
    is_kept = thinned != 0
    assert 0 < int(is_kept.sum()) < int((whole != 0).sum())
    torch.testing.assert_close(thinned[is_kept], 2 * whole[is_kept])


def test_a_refinement_head_begins_with_the_fully_connected_layers_of_a_file(tmp_path):
    head = refinement_head_of()
    weights = {f"classifier.{number}.bias": torch.rand(9) for number in (0, 3)}
    weights |= {"classifier.0.weight": torch.rand(9, 36), "classifier.3.weight": torch.rand(9, 9)}
    torch.save(weights, tmp_path / "vgg16.pt")
    head.load_vgg16(str(tmp_path / "vgg16.pt"), 3)
    assert torch.equal(head.fc6.weight, weights["classifier.0.weight"])
    assert torch.equal(head.fc7.bias, weights["classifier.3.bias"])
    del weights["classifier.3.weight"]
    torch.save(weights, tmp_path / "vgg16.pt")
    with pytest.raises(CheckpointError, match="not the weights of torchvision's vgg16"):
        head.load_vgg16(str(tmp_path / "vgg16.pt"), 3)
