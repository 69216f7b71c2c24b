"""Kind cvppp: in the layouts in which the sets are given out; and what a set holds."""

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import ConfigError, DataError
from seriatim.data import catalogue
from seriatim.data.readers.cvppp import CvpppSource

LEAVES = np.array([[0, 1, 1], [2, 0, 3]], dtype=np.uint8)


def save_plant(folder, name, mode="RGB"):
    folder.mkdir(parents=True, exist_ok=True)
    rgb = np.zeros((2, 3, 3), dtype=np.uint8)
    rgb[..., 1] = 51
    Image.fromarray(rgb).convert(mode).save(folder / f"{name}_rgb.png")
    Image.fromarray(LEAVES).save(folder / f"{name}_label.png")
    Image.fromarray((LEAVES > 0).astype(np.uint8) * 255).save(folder / f"{name}_fg.png")
    Image.fromarray((LEAVES == 2).astype(np.uint8)).save(folder / f"{name}_centers.png")


@pytest.fixture
def release(tmp_path):
    """`CVPPP2017_LSC_training`, in small: images of A1 to A3 with three digits, of A4 with four."""
    training = tmp_path / "CVPPP2017_LSC_training" / "training"
    for one, names in {"A1": ["plant001", "plant002"], "A2": ["plant003"], "A3": ["plant001"]}.items():
        for name in names:
            save_plant(training / one, name, mode="RGBA")
    for name in ("plant0001", "plant0002"):
        save_plant(training / "A4", name)
    (training / "A1.csv").write_text("plant001, 3\n")
    return tmp_path / "CVPPP2017_LSC_training"


def names_of(source):
    return [source.name(index) for index in range(len(source))]


ALL = ["A1-plant001", "A1-plant002", "A2-plant003", "A3-plant001", "A4-plant0001", "A4-plant0002"]


def test_the_release_its_folder_and_what_holds_it_are_the_same(release):
    for folder in (release, release / "training", release.parent):
        assert names_of(CvpppSource(folder)) == ALL


def test_images_with_transparency_have_three_channels(release):
    for sample in (CvpppSource(release).read(index) for index in (0, 5)):
        assert sample.image.shape == (3, 2, 3)
        assert sample.image[:, 0, 0].tolist() == [0.0, np.float32(0.2), 0.0]
        assert sample.labels.tolist() == LEAVES.tolist()


def test_sets_are_chosen_behind_an_at_sign_in_the_order_given(release):
    assert names_of(catalogue.open_source(f"cvppp:{release}@A4")) == ALL[4:]
    assert names_of(catalogue.open_source(f"cvppp:{release}@A4,A1")) == ALL[4:] + ALL[:2]
    assert names_of(catalogue.open_source(f"cvppp:{release / 'training' / 'A1'}")) == ["plant001", "plant002"]


def test_sets_that_cannot_be_had_are_refused(release):
    with pytest.raises(ConfigError, match="there is no part 'A6'"):
        catalogue.open_source(f"cvppp:{release}@A1,A6")
    with pytest.raises(DataError, match=r"training/A5: holds no \*_rgb\.png"):
        catalogue.open_source(f"cvppp:{release}@A5")
    with pytest.raises(ConfigError, match="the folder is one set; there is nothing to choose"):
        catalogue.open_source(f"cvppp:{release / 'training' / 'A1'}@A1")


def test_names_of_the_plant_phenotyping_sets_are_read(tmp_path):
    save_plant(tmp_path / "Ara2013-Canon", "ara2013_plant001")
    assert names_of(CvpppSource(tmp_path / "Ara2013-Canon")) == ["ara2013_plant001"]


# --- what a set holds -----


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path)


def grey(value=100, size=(4, 5)):
    return np.full(size, value, dtype=np.uint8)


def save_labelled_plant(folder, name, leaves):
    """An image and its palette label map, as the challenge ships them; the index is the leaf, colours are for the eye."""
    rgb = np.zeros((*np.shape(leaves), 3), dtype=np.uint8)
    rgb[..., 1] = np.asarray(leaves) * 20
    save(folder / f"{name}_rgb.png", rgb)
    palette = Image.fromarray(np.asarray(leaves, dtype=np.uint8), mode=None)
    palette = palette.convert("P") if palette.mode != "P" else palette
    palette.putdata(np.asarray(leaves, dtype=np.uint8).ravel().tolist())
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255] + [128] * (3 * 252))
    palette.save(folder / f"{name}_label.png")


@pytest.fixture
def plants(tmp_path):
    save_plant_in = {"A1": ["plant001", "plant002"], "A4": ["plant0001"]}
    for part, names in save_plant_in.items():
        for name in names:
            (tmp_path / part).mkdir(exist_ok=True)
            save_labelled_plant(tmp_path / part, name, [[0, 1, 1], [5, 0, 2]])
            save(tmp_path / part / f"{name}_fg.png", grey())  # lies beside them in the true sets
    return tmp_path


def test_all_sets_of_cvppp_are_read_in_order_and_gaps_of_labels_closed(plants):
    source = CvpppSource(plants)
    assert [source.name(index) for index in range(3)] == ["A1-plant001", "A1-plant002", "A4-plant0001"]
    sample = source.read(0)
    assert sample.image.shape == (3, 2, 3)
    assert sample.labels.tolist() == [[0, 1, 1], [3, 0, 2]]
    assert sample.classes.tolist() == [1, 1, 1]
    assert source.class_names == ("leaf",)


def test_one_set_of_cvppp_is_read_alone(plants):
    source = CvpppSource(plants / "A4")
    assert len(source) == 1
    assert source.name(0) == "plant0001"


def test_a_test_set_of_cvppp_without_labels_is_refused(plants):
    (plants / "A1" / "plant002_label.png").unlink()
    with pytest.raises(DataError, match=r"plant002_label\.png: no such file; is .* a test set without labels"):
        CvpppSource(plants)


def test_a_folder_that_is_none_of_cvppps_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no \*_rgb\.png"):
        CvpppSource(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        CvpppSource(tmp_path / "nothing")


def test_a_damaged_plant_and_labels_of_another_size_are_named(plants):
    save_labelled_plant(plants / "A4", "plant0002", [[1, 2]])
    save(plants / "A4" / "plant0002_rgb.png", np.zeros((3, 2, 3), dtype=np.uint8))
    with pytest.raises(DataError, match=r"plant0002_label\.png: is 1 x 2 pixels, plant0002_rgb\.png 3 x 2"):
        CvpppSource(plants).read(3)
    (plants / "A4" / "plant0002_rgb.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(DataError, match=r"plant0002_rgb\.png"):
        CvpppSource(plants).read(3)
