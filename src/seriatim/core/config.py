"""Typed, frozen settings, read from TOML, with errors that name the key.

A class of settings derives from `Config`; every field carries its default, its range and a line that says what it is.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from seriatim.core.errors import ConfigError, did_you_mean

Self = TypeVar("Self", bound="Config")


class Config(BaseModel):
    """Frozen settings in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

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
    prefix = f"{where}: " if where else ""
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        return f"{prefix}{key}: unknown key{did_you_mean(path[-1], _fields_at(cls, path[:-1]))}"
    if problem["type"] == "value_error":  # of our own validators, which say what it got
        return f"{prefix}{key}: {problem['msg'].removeprefix('Value error, ')}"
    got = "" if problem["type"] == "missing" else f" (got: {problem['input']!r})"
    return f"{prefix}{key}: {problem['msg']}{got}"


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
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from None


def apply_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The same nested values with each `a.b=value` of `overrides` set; a value is TOML, or else a plain string.

    Without a value the setting is taken out, so that its default holds.

    >>> apply_overrides({"optimizer": {"learning_rate": 0.1, "clip_norm": 5.0}}, ["optimizer.learning_rate=1e-3", "optimizer.clip_norm="])
    {'optimizer': {'learning_rate': 0.001}}
    """
    result = dict(values)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {override}: expected KEY=VALUE, such as optimizer.learning_rate=1e-3")
        result = _set(result, key.strip().split("."), _value(text.strip()))
    return result


def _value(text: str) -> Any:
    """What the text stands for; None where there is none."""
    if not text:
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _set(values: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """The nested values with one set, or taken out where it is None."""
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

    >>> print(to_toml({"seed": 1, "model": {"name": "rsis", "widths": [4, 2]}}), end="")
    seed = 1
    <BLANKLINE>
    [model]
    name = "rsis"
    widths = [4, 2]
    """
    return "\n".join(_toml_table(values, ())).lstrip("\n") + "\n"


def _toml_table(values: Mapping[str, Any], path: tuple[str, ...], header: str = "[{}]") -> list[str]:
    scalars, tables, lists = {}, {}, {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            tables[key] = value
        elif isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value):
            lists[key] = value
        elif value is not None:
            scalars[key] = value
    lines = (
        ["", header.format(".".join(path))] if path and (scalars or not (tables or lists) or header != "[{}]") else []
    )
    lines += [f"{key} = {_toml_value(value)}" for key, value in scalars.items()]
    for key, value in tables.items():
        lines += _toml_table(value, (*path, key))
    for key, items in lists.items():
        for item in items:
            lines += _toml_table(item, (*path, key), "[[{}]]")
    return lines


def _toml_value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list() | tuple():
            return f"[{', '.join(_toml_value(item) for item in value)}]"
        case _:
            raise ConfigError(f"{value!r}: cannot be written as TOML")
