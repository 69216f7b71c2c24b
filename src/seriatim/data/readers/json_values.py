"""JSON that others wrote: loading it, and telling what a value is before anything is done with it.

Python's `True` is an `int` and NaN a `float`; here neither passes for a number, and nothing is converted that was not a number.
"""

import json
from pathlib import Path
from typing import Any, TypeGuard

from seriatim.core.errors import DataError
from seriatim.core.files import why_unreadable

MAX_SHOWN = 60
"""Characters of a value that a message repeats."""


def load_json(path: Path) -> Any:
    """What the file holds.

    Raises:
        DataError: naming the file, if it cannot be read, is no JSON, or is nested deeper or holds longer integers than Python reads.
    """
    reason = why_unreadable(path)
    if reason is not None:
        raise DataError(f"{path}: {reason}")
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise DataError(f"{path}: is nested too deeply to be read") from None
    except MemoryError:
        raise DataError(f"{path}: too large for the memory") from None
    except ValueError as error:  # damaged JSON, damaged UTF-8, integers of more than 4300 digits
        raise DataError(f"{path}: is no JSON: {str(error)[:200]}") from None


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value is an integer; JSON's true and false are none.

    >>> is_integer(3), is_integer(True), is_integer(3.0), is_integer("3")
    (True, False, False, False)
    """
    return type(value) is int


def finite_number(value: object) -> float | None:
    """The value as a float if it is a finite number, otherwise None.

    >>> finite_number(3), finite_number(True), finite_number("3"), finite_number(float("nan"))
    (3.0, None, None, None)
    """
    if type(value) is not int and type(value) is not float:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) < float("inf") else None


def describe(value: object) -> str:
    """The value as a message shows it, in one short line.

    >>> describe("7"), describe([1, 2]), describe({}), describe(10**100)[-7:]
    ("'7'", 'a list of 2', 'an object of 0', '0000...')
    """
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    text = repr(value[:MAX_SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
