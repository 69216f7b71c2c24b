import importlib
import pkgutil
import re

import pytest

import seriatim
from seriatim.core import errors
from seriatim.core.errors import FileWriteError, SeriatimError, StoppedBySignal, did_you_mean


def drawn() -> dict[str, tuple[str, ...]]:
    """The classes of the drawing at the top of `core/errors.py`, with the Python errors that each also is."""
    lines = re.findall(r"^    [├└─ ]*([A-Z]\w+)(?: \(also (\w+)\))?", errors.__doc__, re.MULTILINE)
    return {name: (kind,) if kind else () for name, kind in lines}


def exceptions_of_the_package() -> dict[str, type[Exception]]:
    found = {}
    for module in pkgutil.walk_packages(seriatim.__path__, "seriatim."):
        if module.name.endswith("__main__"):
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == module.name:
                found[kind.__name__] = kind
    return found


@pytest.mark.not_quick
def test_the_drawing_holds_every_exception_class_of_the_package():
    assert set(drawn()) == set(exceptions_of_the_package())


@pytest.mark.parametrize("name", drawn())
def test_every_drawn_error_can_be_caught_as_ours_and_as_the_python_error_it_names(name):
    kind = getattr(errors, name)
    bases = {base.__name__ for base in kind.__mro__[1:]} - {"object", "BaseException", "Exception", "SeriatimError"}
    assert bases == set(drawn()[name])
    assert issubclass(kind, SeriatimError) == (name != "StoppedBySignal")


def test_the_message_of_a_failed_write_is_whole():
    assert str(FileWriteError("a: b")) == "a: b"
    assert StoppedBySignal(15).number == 15


def test_a_close_name_is_proposed_and_otherwise_all_are_listed():
    assert did_you_mean("rsi", ["rsis", "ris", "din"]) in ("; did you mean 'rsis'?", "; did you mean 'ris'?")
    assert did_you_mean("qqqq", iter(["b", "a"])) == "; known: a, b"
