"""Kind cellpose: images with label maps beside them, and the writer of such folders."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from seriatim.core.errors import DataError
from seriatim.core.instances import Instance, Instances
from seriatim.data.catalogue import open_source
from seriatim.data.readers.cellpose import CellposeSource, write_cellpose
from seriatim.data.samples import Sample

from ..memory_source import MemorySource

LABELS = np.array([[0, 7, 7, 0], [0, 0, 3, 3]], dtype=np.uint16)
DENSE = [[0, 2, 2, 0], [0, 0, 1, 1]]


def save(path, pixels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((2, 4), 100, dtype=np.uint8) if pixels is None else pixels).save(path)


@pytest.mark.parametrize(
    ("image_file", "masks", "name"),
    [
        ("a.png", "a_masks.png", "a"),
        ("a.tif", "a_masks.tif", "a"),
        ("a.jpg", "a_cp_masks.png", "a"),
        ("000_img.png", "000_masks.png", "000"),
        ("000_img.png", "000_img_masks.png", "000_img"),
        ("000_img.tif", "000_img_cp_masks.tif", "000"),
        ("x_masks.png", "x_masks_masks.png", "x_masks"),
    ],
)
def test_every_naming_of_images_and_label_maps_is_read(tmp_path, image_file, masks, name):
    save(tmp_path / image_file)
    save(tmp_path / masks, LABELS)
    source = open_source(f"cellpose:{tmp_path}")
    assert source.problems == []
    assert [source.name(index) for index in range(len(source))] == [name]
    sample = source.read(0)
    assert sample.labels.tolist() == DENSE
    assert sample.classes.tolist() == [1, 1]
    assert sample.image.shape == (1, 2, 4)


def test_train_and_test_are_read_in_this_order(tmp_path):
    for part in ("test", "train"):
        save(tmp_path / part / "000_img.png")
        save(tmp_path / part / "000_masks.png", LABELS)
    source = CellposeSource(tmp_path)
    assert [source.name(index) for index in range(2)] == ["train-000", "test-000"]
    assert len(CellposeSource(tmp_path / "test")) == 1


def test_other_files_of_cellpose_are_passed_over_and_never_opened(tmp_path, monkeypatch):
    save(tmp_path / "a.png")
    save(tmp_path / "a_masks.png", LABELS)
    save(tmp_path / "a_flows.tif")
    save(tmp_path / "a_outlines_cp.png")
    (tmp_path / "a_cp_outlines.txt").write_text("1,2")
    (tmp_path / "a_seg.npy").write_bytes(b"a program")
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("opened"))
    source = CellposeSource(tmp_path)
    assert (len(source), source.problems) == (1, [])
    source.read(0)


def test_an_image_with_a_seg_file_alone_is_a_problem_that_says_what_to_do(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "a_masks.png", LABELS)
    save(tmp_path / "b.png")
    (tmp_path / "b_seg.npy").write_bytes(b"a program")
    save(tmp_path / "c.png")
    source = CellposeSource(tmp_path)
    assert len(source) == 1
    said = [str(problem) for problem in source.problems]
    assert "b.png: has no label map b_masks.png or .tif (b_seg.npy is not opened; save the masks" in said[0]
    assert said[1].endswith("c.png: has no label map c_masks.png or .tif; left out")
    with pytest.raises(DataError, match=r"b\.png: has no label map"):
        CellposeSource(tmp_path, strict=True)


def test_strays_and_second_files_are_problems(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "a.jpg")
    save(tmp_path / "a_masks.png", LABELS)
    save(tmp_path / "a_cp_masks.png", LABELS)
    save(tmp_path / "gone_masks.png", LABELS)
    source = CellposeSource(tmp_path)
    assert len(source) == 1
    said = [str(problem).removeprefix(str(tmp_path) + "/") for problem in source.problems]
    assert said == [
        "a_cp_masks.png: a second label map beside a_masks.png; left out",
        "a.png: has the same label map as a.jpg; left out",
        "gone_masks.png: has no image; left out",
    ]


def test_folders_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        CellposeSource(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"expected images NAME\.png with NAME_masks\.png"):
        CellposeSource(tmp_path)
    save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"beside them: .*a\.png: has no label map"):
        CellposeSource(tmp_path)


def test_sizes_that_differ_and_damaged_files_are_named(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "a_masks.png", LABELS[:, :3])
    with pytest.raises(DataError, match=r"a_masks\.png: is 2 x 3 pixels, a\.png 2 x 4"):
        CellposeSource(tmp_path).read(0)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(DataError, match=r"/a\.png"):
        CellposeSource(tmp_path).read(0)


# --- writing ---------------------------------------------------------------------------------------------------------------------


def sample_of(name, labels, channels=3, **others):
    labels = np.asarray(labels, dtype=np.int32)
    image = np.random.default_rng(0).integers(0, 256, (channels, *labels.shape)).astype(np.float32) / 255
    return Sample(name, image, labels, np.ones(labels.max(initial=0), dtype=np.int64), **others)


@pytest.mark.parametrize("name", ["a", "000_img", "x_masks", "a_cp", "flows_flows", "deep/a"])
def test_what_is_written_is_read_again_whatever_its_name(tmp_path, name):
    made, seen = sample_of(name, DENSE), []
    write_cellpose(MemorySource(made), tmp_path / "out", lambda done, total: seen.append((done, total)))
    assert seen == [(1, 1)]
    source = CellposeSource(tmp_path / "out", strict=True)
    assert source.name(0) == name.replace("/", "-")
    assert (source.read(0).labels == made.labels).all()
    np.testing.assert_allclose(source.read(0).image, made.image, atol=1e-6)
    write_cellpose(source, tmp_path / "again")
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_more_objects_than_16_bits_can_number_are_a_tiff(tmp_path):
    made = sample_of("many", np.arange(1, 65_537).reshape(256, 256), channels=1)
    write_cellpose(MemorySource(made), tmp_path)
    assert tifffile.imread(tmp_path / "many_masks.tif").max() == 65_536
    assert (CellposeSource(tmp_path).read(0).labels == made.labels).all()


def test_what_the_kind_cannot_hold_is_said(tmp_path, caplog):
    whole = Instances(
        (2, 4), [Instance((0, 0, 2, 4), np.ones((2, 4), bool)), Instance((0, 0, 1, 1), np.ones((1, 1), bool))]
    )
    made = sample_of("a", [[2, 1, 1, 1], [1, 1, 1, 1]], objects=whole, ignore=np.ones((2, 4), bool))
    write_cellpose(MemorySource(made, class_names=("cell", "dirt")), tmp_path)
    for part in ("those of the objects (cell, dirt) are lost", "covered pixels are lost", "they become background"):
        assert part in caplog.text
