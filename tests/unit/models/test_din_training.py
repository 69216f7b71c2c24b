import pytest
import torch

from seriatim.models.din_training import DINObjectiveConfig, semantic_objective


def test_the_semantic_loss_is_left_out_without_a_weight():
    labels, classes, logits = torch.ones(1, 2, 2, dtype=torch.long)[0], torch.tensor([1]), torch.zeros(3, 2, 2)
    assert semantic_objective(logits, labels, classes, DINObjectiveConfig()) == {}
    loss = semantic_objective(logits, labels, classes, DINObjectiveConfig(semantic=2.0))["semantic"]
    assert float(loss) == pytest.approx(2 * 1.0986, rel=1e-3)
