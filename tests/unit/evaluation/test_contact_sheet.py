"""The contact sheet shows an even choice of the images, with their objects outlined."""

import io

import numpy as np
from PIL import Image

from seriatim.core.instances import Instance, Instances
from seriatim.data.samples import Sample
from seriatim.evaluation.contact_sheet import CELL, ContactSheet, sequence_sheet


def sample(name="one", size=(40, 60)):
    labels = np.zeros(size, dtype=np.int32)
    labels[10:30, 10:30] = 1
    return Sample(name, np.full((1, *size), 0.5, dtype=np.float32), labels, np.array([1]))


def read(sheet):
    return np.asarray(Image.open(io.BytesIO(sheet.encode())))


def test_images_are_chosen_evenly():
    assert sorted(ContactSheet(100, max_images=5).wanted) == [0, 25, 50, 74, 99]
    assert sorted(ContactSheet(3, max_images=5).wanted) == [0, 1, 2]


def test_what_is_not_wanted_is_not_shown():
    sheet = ContactSheet(100, max_images=2)
    for index in range(100):
        sheet.add(index, sample())
    assert len(sheet.cells) == 2


def test_an_object_is_outlined_in_colour_and_the_rest_is_grey():
    sheet = ContactSheet(1)
    sheet.add(0, sample())
    pixels = read(sheet)
    colourful = np.ptp(pixels.astype(int), axis=2) > 60
    rows, columns = np.nonzero(colourful)
    assert 0.2 * CELL < np.ptp(columns) < 0.5 * CELL
    assert colourful[rows.min() + np.ptp(rows) // 2, columns.min() + np.ptp(columns) // 2] == 0


def test_a_set_without_images_gives_an_empty_sheet():
    assert read(ContactSheet(0)).shape[0] > CELL


def test_small_images_long_names_and_large_ones_fit():
    sheet = ContactSheet(3)
    for index, size in enumerate([(1, 1), (900, 30), (40, 2000)]):
        sheet.add(
            index,
            sample("x" * 90, size)
            if min(size) > 1
            else Sample(
                "dot", np.zeros((3, 1, 1), np.float32), np.zeros((1, 1), np.int32), np.array([], dtype=np.int64)
            ),
        )
    assert read(sheet).shape[1] > 3 * CELL


def test_a_sequence_shows_the_image_the_truth_and_the_masks_in_the_order_found():
    one = sample()
    found = Instances((40, 60), [Instance((0, 40, 20, 60), np.ones((20, 20), dtype=bool))])
    pixels = np.asarray(
        Image.open(io.BytesIO(sequence_sheet([(one, found), (one, found[:0])], num_steps=2, height=40)))
    )
    assert pixels.shape == (2 * 44 + 4, 4 * 64 + 4, 3)
    tiles = [pixels[4:44, 4 + 64 * k : 64 * (k + 1)].astype(int) for k in range(4)]
    assert (tiles[0] == 128).all()
    assert tiles[1][20, 20].tolist() == [64 // 2 + 90 // 2 + 32, 64 // 2 + 200 // 2 + 32, 64 // 2 + 90 // 2 + 32]
    assert (tiles[1][35] == 64).all()
    assert tiles[2][10, 50].argmax() == 0
    assert (tiles[2][:, :40] == 64).all()
    assert (tiles[3] == 64).all()
