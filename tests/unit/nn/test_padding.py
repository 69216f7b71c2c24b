"""Padding of images."""

import torch

from seriatim.nn.padding import continue_images


def test_images_are_continued_by_their_last_rows_and_columns():
    continued = continue_images(torch.tensor([[[[1.0, 2.0, 3.0]]]]), 2)
    assert continued[0, 0].tolist() == [[1.0, 2.0, 3.0, 3.0], [1.0, 2.0, 3.0, 3.0]]
