"""Kind cvppp: in the layouts in which the sets are given out; what a set holds is tested in test_readers.py."""

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
