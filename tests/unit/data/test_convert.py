"""Conversions that lose only what they say."""

import numpy as np
import pytest

from seriatim.core.errors import ConfigError, DataError
from seriatim.data.catalogue import open_source
from seriatim.data.convert import LOSES, WRITERS, convert

from .memory_source import MemorySource
from .test_inspect import blocks, sample


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_what_is_converted_reads_the_same(tmp_path, kind):
    source = MemorySource(
        sample("a", blocks(), [1, 2, 1]), sample("b", blocks()[::-1, ::-1], [2, 2, 1]), class_names=("cell", "nerve")
    )
    target = f"{kind}:{tmp_path / 'new' / ('set.json' if kind == 'coco' else '')}"
    convert(source, target)
    back = open_source(target, strict=True)
    assert [back.name(index) for index in range(len(back))] == ["a", "b"]
    for index in range(2):
        before, after = source.read(index), back.read(index)
        assert np.abs(before.image - after.image).max() < 1 / 254
        partners = [after.labels[before.labels == number] for number in (1, 2, 3)]
        assert all(len(np.unique(one)) == 1 and one[0] > 0 for one in partners)
        assert (after.labels > 0).sum() == (before.labels > 0).sum()
        if "classes" not in LOSES[kind]:
            assert [after.classes[one[0] - 1] for one in partners] == before.classes.tolist()


def test_nothing_is_mixed_with_what_is_there(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        convert(MemorySource(sample("a", blocks(), [1, 1, 1])), f"folder:{tmp_path / 'old'}")
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("target", ["folder", "voc:new", "coco:new", "yolos:new"])
def test_a_target_of_no_use_is_refused(tmp_path, target):
    with pytest.raises(ConfigError):
        convert(MemorySource(sample("a", blocks(), [1, 1, 1])), target.replace(":", f":{tmp_path}/"))
