import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import ConfigError, DataError
from seriatim.data.folder import FolderSource
from seriatim.inference.evaluate import evaluate_label_maps, evaluate_model
from seriatim.inference.predictor import Predictor

from .conftest import describe, paint_discs


@pytest.fixture
def source(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for name, centres in (("one", [(20, 20), (60, 70)]), ("two", [(30, 50)]), ("none", [])):
        labels = paint_discs((90, 100), centres, 12)
        Image.fromarray((labels > 0).astype(np.uint8) * 255).save(tmp_path / "data" / "images" / f"{name}.png")
        Image.fromarray(labels.astype(np.uint16)).save(tmp_path / "data" / "labels" / f"{name}.png")
    return FolderSource(tmp_path / "data")


def test_a_perfect_model_scores_perfectly(oracle, source):
    calls = []
    predictor = Predictor(oracle, describe({}))
    scores = evaluate_model(predictor, source, ["nuclei", "cvppp"], lambda done, total: calls.append((done, total)))
    assert scores["nuclei"]["AP"][0.9] == 1.0
    assert scores["nuclei"]["PQ"] == 1.0
    assert scores["cvppp"]["DiC"]["mean"] == 0.0
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_label_maps_of_the_truth_score_perfectly(source):
    assert evaluate_label_maps(source.folder / "labels", source, ["nuclei"])["nuclei"]["AP"][0.5] == 1.0


def test_label_maps_are_found_by_stem_and_known_endings(source, tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    (maps / "one.labels.png").write_bytes((source.folder / "labels" / "one.png").read_bytes())
    (maps / "one.png").write_bytes(b"the picture itself, say")
    (maps / "two.png").write_bytes((source.folder / "labels" / "two.png").read_bytes())
    Image.fromarray(np.zeros((90, 100), dtype=np.uint16)).save(maps / "none.tif")
    assert evaluate_label_maps(maps, source, ["nuclei"])["nuclei"]["AP"][0.5] == 1.0


def test_a_missing_label_map_is_named(source, tmp_path):
    (tmp_path / "maps").mkdir()
    with pytest.raises(DataError, match="no label map for none, one, two"):
        evaluate_label_maps(tmp_path / "maps", source, ["nuclei"])
    with pytest.raises(DataError, match="no such folder"):
        evaluate_label_maps(tmp_path / "nowhere", source, ["nuclei"])


def test_a_label_map_of_another_size_is_named(source):
    Image.fromarray(np.zeros((5, 6), dtype=np.uint16)).save(source.folder / "labels" / "one.labels.png")
    with pytest.raises(DataError, match=r"one\.labels\.png: is 5 x 6 pixels, the truth 90 x 100"):
        evaluate_label_maps(source.folder / "labels", source, ["nuclei"])


def test_an_unknown_protocol_is_refused_before_any_work(oracle, source):
    with pytest.raises(ConfigError, match="did you mean 'nuclei'"):
        evaluate_model(Predictor(oracle, describe({})), source, ["nucleii"])
    assert oracle.num_encoded == 0
