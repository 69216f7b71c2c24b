import numpy as np
import pytest

from seriatim.analysis.gallery import as_json, collect_gallery, divide_by_count
from seriatim.core.errors import DataError
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.data.subsets import Subset
from seriatim.inference.model_folder import ModelDescription
from seriatim.inference.predictor import Predictor


class Squares(Source):
    """Image n has as many bright squares as `counts` says."""

    class_names = ("square",)
    counts = (2, 0, 1, 3, 2)

    def __len__(self):
        return len(self.counts)

    def name(self, index):
        return f"squares-{index}"

    def read(self, index):
        labels = np.zeros((40, 64), dtype=np.int32)
        for number in range(self.counts[index]):
            labels[12 * number + 2 : 12 * number + 10, 4:20] = number + 1
        return Sample.of_one_class(self.name(index), (labels > 0).astype(np.float32)[None], labels)


@pytest.fixture
def predictor(oracle):
    config = {"encoder": "resnet18", "input_channels": 1, "guidance": {}, "extensions": {"pyramid_channels": 8}}
    values = {"model": {"name": "rsis", "config": config}, "preparation": {"channels": 1}}
    return Predictor(oracle, ModelDescription.parse(values))


def test_images_are_grouped_by_their_number_of_objects_and_the_first_are_shown(predictor, oracle):
    done = []
    groups = collect_gallery(
        predictor, Squares(), num_groups=3, num_images=1, progress=lambda *numbers: done.append(numbers)
    )
    assert [(group.name, group.num_images) for group in groups] == [
        ("1 object", 1),
        ("2 objects", 2),
        ("3 objects", 1),
    ]
    assert [image.name for group in groups for image in group.images] == ["squares-2", "squares-0", "squares-3"]
    assert oracle.num_encoded == 3
    assert done == [(1, 3), (2, 3), (3, 3)]
    for group in groups:
        for image in group.images:
            assert len(image.truth) == len(image.plain.instances) == group.fewest
            assert image.plain.sbd > 0.9
            assert image.refined is None


def test_the_crf_refines_what_was_found_without_looking_again(predictor, oracle):
    [group] = collect_gallery(predictor, Squares(), crf=True, num_groups=1, num_images=2)
    assert (group.name, group.num_images) == ("1 to 3 objects", 4)
    assert oracle.num_encoded == 2
    assert [len(image.refined.instances) for image in group.images] == [2, 1]
    told = as_json([group])["groups"][0]
    assert told["images"][0]["found_crf"] == 2
    assert set(told["images"][0]) == {"name", "targets", "found", "sbd", "found_crf", "sbd_crf"}


def test_images_of_one_count_stay_together():
    assert divide_by_count([5, 5, 5, 5, 1], 3) == [[4], [0, 1, 2, 3]]
    assert divide_by_count([0, 0], 3) == []


def test_data_without_objects_are_refused(predictor):
    with pytest.raises(DataError, match="none of 1 images has an object"):
        collect_gallery(predictor, Subset(Squares(), [1]))
