import numpy as np
import pytest

from seriatim.core.instances import Instances
from seriatim.results.folder import ResultFolder


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with numpy 2
def test_pycocotools_reads_the_coco_file(found, pixels, tmp_path, capsys):
    from pycocotools.coco import COCO

    results = ResultFolder(tmp_path, ("coco",), ("leaf",))
    results.add("first.png", "first", pixels, found, 1.0)
    results.add("second.png", "second", pixels, found, 1.0)
    results.finish()
    coco = COCO(str(tmp_path / "instances.json"))
    capsys.readouterr()
    for annotation, instance in zip(coco.loadAnns(coco.getAnnIds(imgIds=[2])), found, strict=True):
        assert np.array_equal(coco.annToMask(annotation).astype(bool), Instances(found.size, [instance]).masks()[0])
