"""Text that others chose, such as names of files, made harmless for a terminal and for a table."""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters of C0 and C1, line ends of Unicode, and those that turn the direction of writing."""

_FORMULA = ("=", "+", "-", "@")


def without_controls(text: str) -> str:
    """The text with every control character written as its code, so that it is one line and cannot steer a terminal.

    >>> print(without_controls("leaf\\x1b[2J\\r.png"))
    leaf\\x1b[2J\\x0d.png
    """
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1] if found[0] > "\xff" else f"\\x{ord(found[0]):02x}", text)


def table_cell(value: object) -> str:
    """A value as a cell of a table: one line, and with an apostrophe before what a spreadsheet would take for a formula.

    >>> [table_cell(value) for value in ("=1+2", "-3.5", -3.5, "-leaf.png", "leaf.png")]
    ["'=1+2", '-3.5', '-3.5', "'-leaf.png", 'leaf.png']
    """
    text = without_controls(str(value))
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
