"""Typed, frozen settings, read from TOML; errors name the key.

Every settings class derives from `Config`. A field states its default, its range and, in the line below it, its meaning.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from seriatim.core.errors import ConfigError, FileReadError, did_you_mean
from seriatim.core.files import read_small_file

Self = TypeVar("Self", bound="Config")

MAX_TOML_BYTES = 200_000
"""Length of a file of settings; recipes are a hundred times shorter."""

MAX_SHOWN = 200
"""Characters of a value that a message repeats."""

MAX_DEPTH = 32
"""Parts of a dotted key."""

_DEEP_KEY = re.compile(
    rf"""(?<![\w-])(?:(?:[\w-]{{1,200}}|"[^"\n]{{0,200}}"|'[^'\n]{{0,200}}')[ \t]*\.[ \t]*){{{MAX_DEPTH}}}"""
)


class Config(BaseModel):
    """Frozen settings in which an unknown key is an error.

    A class of settings is a list of fields, each with type, default, bounds and a line of meaning. Such lists look alike, and that is intended.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=(), allow_inf_nan=False
    )

    @classmethod
    def parse(cls: type[Self], values: Mapping[str, Any], where: str = "") -> Self:
        """Settings from plain values.

        Args:
            values: nested mapping, as TOML or JSON give it.
            where: the file or place named in an error.

        Raises:
            ConfigError: naming the first key that is unknown, missing or out of range.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(_first_problem(cls, error, where)) from None


def _first_problem(cls: type[BaseModel], error: ValidationError, where: str) -> str:
    problem = error.errors()[0]
    path = [str(part) for part in problem["loc"]]
    prefix = "".join(f"{place}: " for place in (where, ".".join(path)) if place)
    if problem["type"] == "extra_forbidden":
        return f"{prefix}unknown key{did_you_mean(path[-1], _fields_at(cls, path[:-1]))}"
    if problem["type"] == "value_error":  # raised by our own validators, whose messages already say what they got
        return f"{prefix}{problem['msg'].removeprefix('Value error, ')}"
    got = "" if problem["type"] == "missing" else f" (got: {_short(problem['input'])})"
    return f"{prefix}{problem['msg']}{got}"


def _short(value: object) -> str:
    """The value as a message shows it."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def _fields_at(cls: type[BaseModel], path: Sequence[str]) -> list[str]:
    current: Any = cls
    for part in path:
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            continue
        options = [field.annotation, *getattr(field.annotation, "__args__", ())]
        models = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
        current = models[0] if models else current
    return list(getattr(current, "model_fields", {}))


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file.

    Raises:
        ConfigError: naming the file, if it is missing or is not TOML.
    """
    try:
        return _parse_toml(read_small_file(path, MAX_TOML_BYTES).decode())
    except FileReadError as error:
        raise ConfigError(str(error)) from None
    except (
        ValueError,
        RecursionError,
    ) as error:  # ValueError: damaged TOML, damaged UTF-8, integers of more than 4300 digits
        raise ConfigError(f"{path}: not a TOML file: {error}") from None


def _parse_toml(text: str) -> dict[str, Any]:
    """The values of TOML; ValueError for text that is none, keys nested deeper than `MAX_DEPTH`, and integers beyond 64 bits."""
    if _DEEP_KEY.search(text):  # tomllib takes memory by the square of the length of such a key
        raise ValueError(f"a key of more than {MAX_DEPTH} parts")
    values = tomllib.loads(text)
    waiting: list[Any] = [values]
    while waiting:
        value = waiting.pop()
        if type(value) is int and not -(2**63) <= value < 2**63:
            raise ValueError("an integer of more than 64 bits")
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return values


def apply_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return the nested values with each `a.b=value` of `overrides` set; a value is TOML, or else a plain string.

    An empty value removes the setting, so that its default applies.

    >>> apply_overrides({"optimizer": {"learning_rate": 0.1, "clip_norm": 5.0}}, ["optimizer.learning_rate=1e-3", "optimizer.clip_norm="])
    {'optimizer': {'learning_rate': 0.001}}
    """
    result = dict(values)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {override}: expected KEY=VALUE, such as optimizer.learning_rate=1e-3")
        path = key.strip().split(".")
        if len(path) > MAX_DEPTH:
            raise ConfigError(f"--set {key.strip()[:60]}...: a key of more than {MAX_DEPTH} parts")
        result = _set(result, path, _value(text.strip()))
    return result


def _value(text: str) -> Any:
    """Parse the text as a TOML value, or keep it as a string; None if it is empty."""
    if not text:
        return None
    try:
        return _parse_toml(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _set(values: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """Return the nested values with one value set, or removed if it is None."""
    result = dict(values)
    if len(path) == 1:
        result[path[0]] = value
        return {key: kept for key, kept in result.items() if kept is not None}
    inner = result.get(path[0], {})
    if isinstance(inner, list) and path[1].isdigit() and int(path[1]) < len(inner) and len(path) > 2:
        number = int(path[1])
        result[path[0]] = [*inner[:number], _set(inner[number], path[2:], value), *inner[number + 1 :]]
        return result
    result[path[0]] = _set(inner if isinstance(inner, Mapping) else {}, path[1:], value)
    return result


def to_toml(values: Mapping[str, Any]) -> str:
    """Nested plain values as TOML text; `None` is left out, since TOML has no such value.

    Raises:
        ConfigError: if a value has no form in TOML.

    >>> print(to_toml({"seed": 1, "model": {"name": "rsis", "guidance": None}}), end="")
    seed = 1
    <BLANKLINE>
    [model]
    name = "rsis"
    """
    try:
        return tomli_w.dumps(_without_none(values))
    except TypeError as error:
        raise ConfigError(f"cannot be written as TOML: {error}") from None


def _without_none(value: Any) -> Any:
    """The value with every key removed, at any depth, whose value is None."""
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value


def first_difference(begun: Any, now: Any, where: str = "") -> str | None:
    """The first setting in which two nested mappings differ, in words; None if they are equal.

    >>> first_difference({"seed": 1, "model": {"width": 8}}, {"seed": 1, "model": {"width": 16}})
    'model.width was 8, is 16'
    """
    if isinstance(begun, Mapping) and isinstance(now, Mapping):
        for key in [*begun, *(key for key in now if key not in begun)]:
            found = first_difference(begun.get(key), now.get(key), f"{where}.{key}".lstrip("."))
            if found:
                return found
        return None
    return None if begun == now else f"{where} was {begun!r}, is {now!r}"
