from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seriatim.cli.main import main
from seriatim.inference.model_folder import ModelDescription, write_model_folder
from seriatim.models import catalogue

TINY = {
    "encoder": "resnet18",
    "encoder_depth": 2,
    "levels": 2,
    "width": 8,
    "input_channels": 1,
    "max_steps": 2,
    "stop_threshold": 0.0,
    "mask_threshold": 0.45,
    "min_area_fraction": 0.0,
}


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    description = ModelDescription.parse(
        {"model": {"name": "rsis", "config": TINY}, "preparation": {"channels": 1}, "class_names": ["dot"]}
    )
    write_model_folder(
        folder, catalogue.build("rsis", TINY, seed=1), description, card="# tiny: finds dots\n\nOnly a test.\n"
    )
    return folder


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        Image.fromarray(random.integers(0, 255, (40, 60), dtype=np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def run(capsys):
    """Runs a command line; gives exit code, stdout and stderr."""

    def call(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def source_folder():
    return Path(__file__).parents[2] / "src"


@pytest.fixture
def data(tmp_path):
    """A folder of two equal images of two objects."""
    for part in ("images", "labels"):
        (tmp_path / "data" / part).mkdir(parents=True)
    labels = np.zeros((40, 60), dtype=np.uint16)
    labels[5:15, 5:15], labels[20:30, 30:50] = 1, 2
    for name in ("one", "two"):
        Image.fromarray((labels > 0).astype(np.uint8) * 200).save(tmp_path / "data" / "images" / f"{name}.png")
        Image.fromarray(labels).save(tmp_path / "data" / "labels" / f"{name}.png")
    return tmp_path / "data"
