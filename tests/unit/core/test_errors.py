import pytest

from seriatim.core import errors
from seriatim.core.errors import SeriatimError, did_you_mean
from seriatim.core.files import FileWriteError

TREE = {
    "ConfigError": ValueError,
    "ShapeError": ValueError,
    "DataError": Exception,
    "ImageError": Exception,
    "CheckpointError": Exception,
    "TrainingDivergedError": Exception,
    "MissingExtraError": ImportError,
}


@pytest.mark.parametrize("name", TREE)
def test_every_error_can_be_caught_as_ours_and_as_its_python_kind(name):
    kind = getattr(errors, name)
    assert issubclass(kind, SeriatimError)
    assert issubclass(kind, TREE[name])
    assert name in errors.__doc__


def test_the_tree_in_the_docstring_is_complete():
    found = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, SeriatimError)}
    assert found == {"SeriatimError", *TREE}


def test_a_failed_write_is_also_an_os_error():
    assert issubclass(FileWriteError, SeriatimError)
    assert issubclass(FileWriteError, OSError)
    assert str(FileWriteError("a: b")) == "a: b"


def test_a_close_name_is_proposed_and_otherwise_all_are_listed():
    assert did_you_mean("rsi", ["rsis", "ris", "din"]) in ("; did you mean 'rsis'?", "; did you mean 'ris'?")
    assert did_you_mean("qqqq", iter(["b", "a"])) == "; known: a, b"
