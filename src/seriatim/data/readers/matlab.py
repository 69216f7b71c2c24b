"""Numbers out of a Matlab file of version 5 to 7: the numeric fields of one struct, which is all that SBD's annotations need.

`scipy.io.loadmat` reads these files too, and is what the tests compare with, but took its process down (SIGSEGV, SIGBUS) on 2 of 60 files
with three bytes changed. Here every length is checked before it is used, so that a damaged file is a `DataError`.

Source: MathWorks, "MAT-File Format", the chapter on level 5.
"""

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seriatim.core.errors import DataError

MAX_BYTES = 2**26
"""Of a file, and of a variable once it is decompressed."""

NUMBER_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Type of a data element that holds numbers -> its numpy type, without the order of bytes."""

MATRIX = 14
"""Type of a data element that holds an array with its name and shape."""

COMPRESSED = 15
"""Type of a data element that holds another one, deflated."""

STRUCT_CLASS = 2
NUMERIC_CLASSES = range(6, 16)
"""Classes of arrays: double, single, and integers of 8 to 64 bits."""


class _Element(NamedTuple):
    """A data element: its type and its bytes."""

    kind: int
    data: bytes


class _Array(NamedTuple):
    """A matrix element, taken apart as far as its name; `rest` is what follows."""

    array_class: int
    shape: tuple[int, ...]
    name: str
    rest: bytes


def read_struct(path: Path, variable: str, fields: Sequence[str]) -> dict[str, np.ndarray]:
    """The named numeric fields of a 1 x 1 struct in a file.

    Args:
        path: a Matlab file of version 5, 6 or 7.
        variable: the name of the struct.
        fields: those to read; what else it holds is not looked at.

    Raises:
        DataError: naming the file and what it lacks.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"has {path.stat().st_size} bytes, more than the limit of {MAX_BYTES}")
        content = path.read_bytes()
        order = _byte_order(content)
        for element in _elements(content[128:], order):
            array = _array(_inflated(element, order), order)
            if array is not None and array.name == variable:
                return _fields(array, order, variable, fields)
        raise ValueError(f"holds no variable {variable}")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, OverflowError, struct.error, zlib.error) as error:
        raise DataError(
            f"{path}: expected a Matlab file with the numbers {', '.join(f'{variable}.{field}' for field in fields)}: {error}"
        ) from None


def _byte_order(content: bytes) -> str:
    """`<` or `>`, from the last bytes of the header."""
    if content[:8] == b"\x89HDF\r\n\x1a\n" or content[512:520] == b"\x89HDF\r\n\x1a\n":
        raise ValueError("is of version 7.3 (HDF5); save it with -v7")
    mark = content[126:128]
    if mark not in (b"IM", b"MI"):
        raise ValueError("is no Matlab file of version 5 to 7")
    return "<" if mark == b"IM" else ">"


def _elements(data: bytes, order: str) -> Iterator[_Element]:
    """The data elements one after another; short ones keep their data in the tag."""
    position = 0
    while position + 8 <= len(data):
        kind, length = struct.unpack_from(order + "II", data, position)
        start = position + 8
        if kind >> 16:
            kind, length, start = kind & 0xFFFF, kind >> 16, position + 4
            end = start + 4
            if length > 4:
                raise ValueError(f"a short element at byte {position} resolver {length} bytes")
        else:
            end = start + length + (0 if kind == COMPRESSED else -length % 8)
        if start + length > len(data):
            raise ValueError(f"an element at byte {position} resolver {length} bytes, {len(data) - start} are left")
        yield _Element(kind, data[start : start + length])
        position = end


def _inflated(element: _Element, order: str) -> _Element:
    if element.kind != COMPRESSED:
        return element
    inflater = zlib.decompressobj()
    data = inflater.decompress(element.data, MAX_BYTES)
    if inflater.unconsumed_tail:
        raise ValueError(f"a variable is larger than the limit of {MAX_BYTES} bytes")
    return next(_elements(data, order), _Element(0, b""))


def _array(element: _Element, order: str) -> _Array | None:
    """The parts of a matrix element; None of any other."""
    if element.kind != MATRIX:
        return None
    parts = _elements(element.data, order)
    flags, shape, name = (next(parts, None) for _ in range(3))
    if flags is None or shape is None or name is None:
        raise ValueError("an array ends before its name")
    sizes = _numbers(shape, order)
    if len(flags.data) != 8 or sizes.dtype.kind != "i" or len(sizes) < 2 or (sizes < 0).any():
        raise ValueError("an array has no flags or shape")
    rest = b"".join(_tagged(part, order) for part in parts)
    array_class = struct.unpack_from(order + "I", flags.data)[0] & 0xFF
    return _Array(array_class, tuple(int(size) for size in sizes), name.data.decode("latin-1"), rest)


def _tagged(element: _Element, order: str) -> bytes:
    padding = b"\0" * (-len(element.data) % 8)
    return struct.pack(order + "II", element.kind, len(element.data)) + element.data + padding


def _numbers(element: _Element, order: str) -> np.ndarray:
    if element.kind not in NUMBER_TYPES:
        raise ValueError(f"expected numbers, got a data element of type {element.kind}")
    dtype = np.dtype(order + NUMBER_TYPES[element.kind])
    if len(element.data) % dtype.itemsize:
        raise ValueError(f"{len(element.data)} bytes are no whole number of {dtype.itemsize}-byte numbers")
    return np.frombuffer(element.data, dtype=dtype).astype(dtype.newbyteorder("="))


def _fields(array: _Array, order: str, variable: str, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    if array.array_class != STRUCT_CLASS or math.prod(array.shape) != 1:
        raise ValueError(
            f"{variable} is no struct of 1 x 1 (array class {array.array_class}, {' x '.join(map(str, array.shape))})"
        )
    parts = list(_elements(array.rest, order))
    if len(parts) < 2 or len(parts[0].data) != 4:
        raise ValueError(f"{variable} has no fields")
    width = int(_numbers(parts[0], order)[0])
    if width < 1:
        raise ValueError(f"{variable} has field names of {width} bytes")
    text = parts[1].data
    names = [text[start : start + width].split(b"\0")[0].decode("latin-1") for start in range(0, len(text), width)]
    values = dict(zip(names, parts[2:], strict=False))
    missing = [field for field in wanted if field not in values]
    if missing:
        raise ValueError(f"{variable} has no field {missing[0]}; it has {', '.join(names[:8]) or 'none'}")
    return {field: _numeric(values[field], order, f"{variable}.{field}") for field in wanted}


def _numeric(element: _Element, order: str, where: str) -> np.ndarray:
    """The numbers of a matrix element, in Matlab's order of columns."""
    array = _array(element, order) if element.data else _Array(NUMERIC_CLASSES[0], (0, 0), "", b"")
    if array is None or array.array_class not in NUMERIC_CLASSES:
        raise ValueError(f"{where} holds no numbers")
    part = next(_elements(array.rest, order), _Element(2, b""))
    values = _numbers(part, order)
    if len(values) != math.prod(array.shape):
        raise ValueError(f"{where} has {len(values)} numbers for {' x '.join(map(str, array.shape))}")
    return values.reshape(array.shape, order="F")
