"""Numbers out of Matlab files, against scipy, and what is said of files that are damaged."""

import multiprocessing
import sys

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from seriatim.core.errors import DataError
from seriatim.data.readers import matlab
from seriatim.data.readers.matlab import read_struct

SEGMENTATION = np.array([[0, 1, 1], [2, 0, 300]])


def save(path, compressed=False, **fields):
    savemat(path, {"other": np.arange(3.0), "GTinst": fields, "last": "text"}, do_compression=compressed)
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
)
def test_numbers_of_every_type_are_read_as_scipy_reads_them(tmp_path, dtype, compressed):
    values = np.where(SEGMENTATION > 100, 100, SEGMENTATION).astype(dtype)
    path = save(tmp_path / "a.mat", compressed, Boundaries=np.zeros((2, 1), dtype=object), Numbers=values)
    found = read_struct(path, "GTinst", ["Numbers"])["Numbers"]
    expected = loadmat(path)["GTinst"]["Numbers"][0, 0]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == dtype


def test_what_is_not_asked_for_is_passed_over(tmp_path):
    path = save(
        tmp_path / "a.mat", Text="words", Sub={"a": 1.0}, Empty=np.zeros((0, 0)), One=np.uint8(7), Line=np.arange(5)
    )
    found = read_struct(path, "GTinst", ["Line", "One", "Empty"])
    assert found["Line"].tolist() == [[0, 1, 2, 3, 4]]
    assert found["One"].tolist() == [[7]]
    assert found["Empty"].size == 0


def test_files_of_the_other_order_of_bytes_are_read(tmp_path):
    def element(kind, data):
        return kind.to_bytes(4, "big") + len(data).to_bytes(4, "big") + data + b"\0" * (-len(data) % 8)

    def array(array_class, shape, name, rest):
        sizes = b"".join(size.to_bytes(4, "big") for size in shape)
        return element(
            14, element(6, bytes((0, 0, 0, array_class, 0, 0, 0, 0))) + element(5, sizes) + element(1, name) + rest
        )

    numbers = array(11, (1, 2), b"", element(4, b"\1\2\0\3"))
    names = element(5, (8).to_bytes(4, "big")) + element(1, b"Numbers\0")
    content = b"MATLAB 5.0".ljust(124) + b"\1\0MI" + array(2, (1, 1), b"GTinst", names + numbers)
    (tmp_path / "a.mat").write_bytes(content)
    assert read_struct(tmp_path / "a.mat", "GTinst", ["Numbers"])["Numbers"].tolist() == [[258, 3]]


@pytest.mark.parametrize(
    ("variable", "field", "message"),
    [
        ("GTcls", "Numbers", "holds no variable GTcls"),
        ("other", "Numbers", "other is no struct of 1 x 1"),
        ("GTinst", "Nmbers", "GTinst has no field Nmbers; it has Numbers, Text"),
        ("GTinst", "Text", r"GTinst\.Text holds no numbers"),
    ],
)
def test_what_a_file_lacks_is_said(tmp_path, variable, field, message):
    path = save(tmp_path / "a.mat", Numbers=SEGMENTATION, Text="words")
    with pytest.raises(
        DataError, match=rf"a\.mat: expected a Matlab file with the numbers {variable}\.{field}: {message}"
    ):
        read_struct(path, variable, [field])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "appears to be truncated"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), r"is of version 7\.3"),
        (b"MATLAB 7.3".ljust(512) + b"\x89HDF\r\n\x1a\n", r"is of version 7\.3"),
        (b"MATLAB 5.0".ljust(124) + b"\0\1IM", "holds no variable GTinst"),
        (b"MATLAB 5.0".ljust(124) + b"\0\1IM" + b"\x0f\0\0\0\xff\xff\xff\xff", "could not read bytes"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path, content, message):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.mat: .*{message}"):
        read_struct(tmp_path / "a.mat", "GTinst", ["Numbers"])


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"a\.mat: cannot be read: No such file"):
        read_struct(tmp_path / "a.mat", "GTinst", ["Numbers"])


def test_a_variable_that_swells_is_refused(tmp_path):
    path = save(tmp_path / "a.mat", compressed=True, Numbers=np.zeros((9000, 9000), dtype=np.uint8))
    assert path.stat().st_size < 2**20
    with pytest.raises(DataError, match="Numbers has 81000000 bytes, more than the limit"):
        read_struct(path, "GTinst", ["Numbers"])


@pytest.fixture
def reader(monkeypatch):
    """Starts the reading process anew with another command."""

    def replace(code):
        matlab._WORKERS.clear()
        monkeypatch.setattr(matlab, "COMMAND", (sys.executable, "-c", code))

    yield replace
    for worker in matlab._WORKERS:
        worker.stop()
    matlab._WORKERS.clear()


def test_a_file_that_asks_for_more_memory_than_there_is_allowed_is_refused(tmp_path, reader):
    path = save(tmp_path / "a.mat", compressed=True, Numbers=np.zeros((17_000, 20_000), dtype=np.uint8))
    reader(
        "import sys, seriatim.data.readers.matlab as m; m.MAX_MEMORY = 2**28; m._serve(sys.stdin.buffer, sys.stdout.buffer)"
    )
    with pytest.raises(DataError, match=r"a\.mat: .*memory"):
        read_struct(path, "GTinst", ["Numbers"])


def test_a_file_that_takes_its_reader_down_is_an_error_and_the_next_is_read(tmp_path, reader, monkeypatch):
    path = save(tmp_path / "a.mat", Numbers=SEGMENTATION)
    reader("import os, signal; input(); os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(DataError, match=r"a\.mat: .*takes its reader down"):
        read_struct(path, "GTinst", ["Numbers"])
    monkeypatch.undo()
    assert read_struct(path, "GTinst", ["Numbers"])["Numbers"].tolist() == SEGMENTATION.tolist()


def test_a_file_that_takes_too_long_is_an_error(tmp_path, reader, monkeypatch):
    reader("import time; time.sleep(60)")
    monkeypatch.setattr(matlab, "MAX_SECONDS", 0.2)
    with pytest.raises(DataError, match=r"takes more than 0\.2 s"):
        read_struct(save(tmp_path / "a.mat", Numbers=SEGMENTATION), "GTinst", ["Numbers"])


def test_a_forked_process_has_a_reader_of_its_own(tmp_path):
    path = save(tmp_path / "a.mat", Numbers=SEGMENTATION)
    read_struct(path, "GTinst", ["Numbers"])
    own = matlab._WORKERS[0].process.pid
    with multiprocessing.get_context("fork").Pool(1) as pool:
        values, pid = pool.apply(read_in_child, (path,))
    assert values == SEGMENTATION.tolist()
    assert pid != own
    assert read_struct(path, "GTinst", ["Numbers"])["Numbers"].tolist() == SEGMENTATION.tolist()


def read_in_child(path):
    values = read_struct(path, "GTinst", ["Numbers"])["Numbers"].tolist()
    pid = matlab._WORKERS[0].process.pid
    matlab._WORKERS[0].stop()
    return values, pid


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_read_or_named_and_nothing_else(tmp_path, seed):
    random = np.random.default_rng(seed)
    path = save(tmp_path / "a.mat", compressed=bool(seed % 2), Numbers=np.zeros((20, 30), dtype=np.uint8), Text="words")
    whole = path.read_bytes()
    messages = []
    for number in range(150):
        damaged = bytearray(whole[: random.integers(len(whole))] if number % 3 == 0 else whole)
        for place in random.integers(len(damaged), size=3) if damaged else ():
            damaged[place] = random.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            read_struct(path, "GTinst", ["Numbers"])
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert all("a.mat: " in message for message in messages)
