import os
import time
import tomllib
import tracemalloc
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from seriatim.core.config import Config, apply_overrides, first_difference, read_toml, to_toml
from seriatim.core.errors import ConfigError


class Inner(Config):
    learning_rate: float = Field(default=0.1, gt=0)
    kind: Literal["adam", "sgd"] = "adam"


class Outer(Config):
    name: str
    optimizer: Inner = Inner()
    stages: tuple[Inner, ...] = ()
    maybe: Inner | None = None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"name": "a", "optimizer": {"learn_rate": 1}},
            "here: optimizer.learn_rate: unknown key; did you mean 'learning_rate'?",
        ),
        ({"name": "a", "stages": [{}, {"knid": "sgd"}]}, "here: stages.1.knid: unknown key; did you mean 'kind'?"),
        ({"name": "a", "maybe": {"knid": "sgd"}}, "here: maybe.knid: unknown key; did you mean 'kind'?"),
        ({"nam": "a", "name": "b"}, "here: nam: unknown key; did you mean 'name'?"),
        ({"name": "a", "zzzz": 1}, "here: zzzz: unknown key; known: maybe, name, optimizer, stages"),
        ({}, "here: name: Field required"),
        (
            {"name": "a", "optimizer": {"learning_rate": -1}},
            "here: optimizer.learning_rate: Input should be greater than 0 (got: -1)",
        ),
        (
            {"name": "a", "optimizer": {"kind": "adm"}},
            "here: optimizer.kind: Input should be 'adam' or 'sgd' (got: 'adm')",
        ),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_dotted_key(values, message):
    with pytest.raises(ConfigError) as error:
        Outer.parse(values, "here")
    assert str(error.value) == message
    assert isinstance(error.value, ValueError)


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Outer(name="a").name = "b"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("a.b=2", {"a": {"b": 2, "c": [3]}, "s": [{"n": 1}, {"n": 2}]}),
        ("a.d.e=true", {"a": {"b": 1, "c": [3], "d": {"e": True}}, "s": [{"n": 1}, {"n": 2}]}),
        ("a.c=[1, 2]", {"a": {"b": 1, "c": [1, 2]}, "s": [{"n": 1}, {"n": 2}]}),
        ("a.b=folder:../x y", {"a": {"b": "folder:../x y", "c": [3]}, "s": [{"n": 1}, {"n": 2}]}),
        ('a.b="1"', {"a": {"b": "1", "c": [3]}, "s": [{"n": 1}, {"n": 2}]}),
        ("a.b=x=y", {"a": {"b": "x=y", "c": [3]}, "s": [{"n": 1}, {"n": 2}]}),
        ("a.b=", {"a": {"c": [3]}, "s": [{"n": 1}, {"n": 2}]}),
        ("a.x= ", {"a": {"b": 1, "c": [3]}, "s": [{"n": 1}, {"n": 2}]}),
        ("s.1.n=7", {"a": {"b": 1, "c": [3]}, "s": [{"n": 1}, {"n": 7}]}),
    ],
)
def test_an_override_replaces_one_value_and_leaves_the_rest(override, expected):
    values = {"a": {"b": 1, "c": [3]}, "s": [{"n": 1}, {"n": 2}]}
    assert apply_overrides(values, [override]) == expected
    assert values == {"a": {"b": 1, "c": [3]}, "s": [{"n": 1}, {"n": 2}]}, "the values given are not changed"


def test_later_overrides_win():
    assert apply_overrides({}, ["a=1", "a=2"]) == {"a": 2}


@pytest.mark.parametrize("override", ["a", "=1", " =1"])
def test_an_override_without_key_or_value_is_refused(override):
    with pytest.raises(ConfigError, match="expected KEY=VALUE"):
        apply_overrides({}, [override])


def test_a_run_file_comes_back_from_its_toml():
    values = {
        "seed": 3,
        "rate": 1e-06,
        "none": [],
        "name": 'a "quoted" \\ path\nof two lines\t\r\x00\x7f é',
        "off": False,
        "model": {"name": "rsis", "config": {"widths": [4, 2], "extensions": {"coordinates": True}}},
        "empty": {},
        "stages": [
            {"name": "masks", "weights": {"mask": 1.0}, "size": [[1, 2], [3, 4]]},
            {
                "name": "all",
                "weights": {"mask": 1.0, "stop": 0.5},
                "curriculum": {"start": 2},
                "parts": [{"a": 1}, {"a": 2}],
            },
        ],
    }
    assert tomllib.loads(to_toml(values)) == values


def test_what_toml_has_no_value_for_is_left_out():
    assert tomllib.loads(to_toml({"a": None, "b": {"c": None, "d": 1}})) == {"b": {"d": 1}}
    with pytest.raises(ConfigError, match="cannot be written as TOML"):
        to_toml({"a": object()})


KEYS = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)
SCALARS = st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=12)
TABLES = st.recursive(
    st.dictionaries(KEYS, SCALARS | st.lists(SCALARS, max_size=3), max_size=3),
    lambda inner: st.dictionaries(KEYS, inner | st.lists(inner, min_size=1, max_size=3) | SCALARS, max_size=3),
    max_leaves=8,
)


@pytest.mark.not_quick
@settings(max_examples=100, deadline=None)
@given(TABLES)
def test_any_nested_tables_come_back_from_their_toml(values):
    assert tomllib.loads(to_toml(values)) == values


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.toml: no such file"):
        read_toml(tmp_path / "nothing.toml")
    for content in (b"a = = 1", b"\xff\xfe"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(ConfigError, match=r"bad\.toml: not a TOML file"):
            read_toml(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (".".join("a" * 20_000) + " = 1", "a key of more than 32 parts"),
        ("[" + ".".join(["a"] * 50) + "]", "a key of more than 32 parts"),
        (".".join(['"a b"'] * 50) + " = 1", "a key of more than 32 parts"),
        ("x = " + "[" * 20_000, "recursion|nest"),
        ("x = " + "9" * 30, "an integer of more than 64 bits"),
        ("x = [{ y = 0x" + "f" * 1000 + " }]", "an integer of more than 64 bits"),
        ("x = " + "9" * 10_000, "not a TOML file"),
        ("x = '" + "y" * 200_000 + "'", "is longer than 200000 bytes"),
    ],
    ids=range(8),
)
def test_hostile_toml_is_refused_at_once_and_in_little_memory(text, reason, tmp_path):
    (tmp_path / "a.toml").write_text(text)
    tracemalloc.start()
    started = time.perf_counter()
    with pytest.raises(ConfigError, match=rf"a\.toml: .*({reason})"):
        read_toml(tmp_path / "a.toml")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.perf_counter() - started < 2
    assert peak < 50e6


def test_toml_is_read_from_regular_files_only(tmp_path):
    os.mkfifo(tmp_path / "a.toml")
    with pytest.raises(ConfigError, match=r"a\.toml: is no regular file"):
        read_toml(tmp_path / "a.toml")


def test_dots_that_nest_nothing_are_no_reason_to_refuse(tmp_path):
    (tmp_path / "a.toml").write_text("x = '" + "../" * 40 + "'\ny = [" + "1.5, " * 100 + "]\n# one. " * 40)
    assert read_toml(tmp_path / "a.toml")["x"].startswith("../")


@pytest.mark.parametrize("override", [".".join("a" * 5000) + "=1", "optimizer.learning_rate=" + "9" * 5000])
def test_hostile_overrides_are_refused_in_a_short_message(override):
    with pytest.raises(ConfigError) as error:
        Outer.parse(apply_overrides({"name": "a"}, [override]), "--set")
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_that_are_not_finite_are_refused_by_the_name_of_the_setting(value):
    with pytest.raises(ConfigError, match=r"optimizer\.learning_rate: .*finite"):
        Outer.parse({"name": "a", "optimizer": {"learning_rate": value}})


def test_the_first_difference_of_settings_is_told_at_any_depth():
    assert first_difference({"a": {"b": [1]}, "c": 2}, {"a": {"b": [1]}, "c": 2}) is None
    assert first_difference({"a": {"b": 1}}, {"a": {}}) == "a.b was 1, is None"
    assert first_difference({}, {"d": 1}) == "d was None, is 1"
