"""JSON that others wrote."""

import pytest

from seriatim.core.errors import DataError
from seriatim.data.readers.json_values import describe, finite_number, load_json


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is no JSON"),
        (b'{"images": [', "is no JSON"),
        (b"\xff\xfe\x00", "is no JSON"),
        (b'{"a": "\x80"}', "is no JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b"[" + b"9" * 5000 + b"]", "is no JSON"),
    ],
)
def test_what_python_cannot_read_is_one_error_that_names_the_file(tmp_path, data, reason):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(DataError, match=reason) as raised:
        load_json(tmp_path / "a.json")
    assert "a.json" in str(raised.value)


def test_missing_files_and_folders_are_refused(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(DataError, match="no such file"):
            load_json(path)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert load_json(tmp_path / "a.json") == [1]


def test_integers_beyond_floats_are_no_finite_numbers():
    assert finite_number(10**400) is None
    assert finite_number(float("-inf")) is None
    assert finite_number(-3) == -3.0


def test_long_and_deep_values_are_described_in_one_short_line():
    deep = []
    for _ in range(5000):
        deep = [deep]
    for value in (deep, "x" * 10**6, "a\nb", 10**4000, {"a": deep}, "\ud800"):
        text = describe(value)
        assert len(text) <= 60
        assert text.isprintable()
