"""A task's settings: one frozen dataclass that is the flags, the JSON in the run folder and the Python call.

A field is declared with `option(default, help, …)`. Types are int, float, str, bool, each optionally `| None`,
and tuple[str, ...]. Off is None.
"""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from .errors import UserError, did_you_mean

T = TypeVar("T")


class Option(NamedTuple):
    name: str
    type: type
    default: Any
    help: str
    choices: tuple[str, ...] | None
    minimum: float | None
    maximum: float | None
    many: bool
    optional: bool
    typed: bool

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def option(
    default: Any,
    help: str,
    choices: Iterable[str] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    typed: bool = True,
) -> Any:
    """Declare one setting. `minimum` and `maximum` are inclusive; choices may be a registry that grows.

    typed  False: no flag of the command line, a run alone keeps it
    """
    details = {"help": help, "choices": choices, "minimum": minimum, "maximum": maximum, "typed": typed}
    return dataclasses.field(default=default, metadata=details)


def options(config: type) -> list[Option]:
    """The settings that a dataclass declares with `option`, in its order."""
    hints = typing.get_type_hints(config)
    return [_describe(field, hints[field.name]) for field in dataclasses.fields(config) if "help" in field.metadata]


def _describe(field: dataclasses.Field, hint: Any) -> Option:
    optional = isinstance(hint, types.UnionType)
    if optional:
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    many = typing.get_origin(hint) is tuple
    if many:
        hint = typing.get_args(hint)[0]
    details = field.metadata
    return Option(
        field.name, hint, field.default, details["help"], tuple(details["choices"]) if details["choices"] else None,
        details["minimum"], details["maximum"], many, optional, details["typed"],
    )  # fmt: skip


def build(config: type[T], values: Mapping[str, Any], where: str | None = None) -> T:
    """A checked `config` from plain values; a name it does not know, or a value out of range, is a UserError."""
    known = {option.name: option for option in options(config)}
    for name in values:
        if name not in known:
            raise UserError(
                f"`{name}` is not a setting; known are {', '.join(known)}",
                where,
                did_you_mean(name, known),
            )
    return config(**{name: _check(known[name], value, where) for name, value in values.items()})


def check(config: Any) -> None:
    """A UserError if a value of this dataclass is not what its options allow."""
    for option in options(type(config)):
        _check(option, getattr(config, option.name), None)


def _check(option: Option, value: Any, where: str | None) -> Any:
    if value is None and option.optional:
        return None
    if option.many:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"`{option.flag}` got `{value}`; a list is needed", where)
        return tuple(_check_one(option, item, where) for item in value)
    return _check_one(option, value, where)


def _check_one(option: Option, value: Any, where: str | None) -> Any:
    if option.type is float and type(value) is int:
        value = float(value)
    if option.type is str and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if type(value) is not option.type:
        raise UserError(f"`{option.flag}` got `{value}`; {_article(option.type)} is needed", where)
    if option.choices and value not in option.choices:
        allowed = ", ".join(option.choices)
        raise UserError(f"`{option.flag}` got `{value}`; allowed are {allowed}", where, did_you_mean(str(value), option.choices))
    low, high = option.minimum, option.maximum
    # `not (value >= low)` also refuses nan
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        bounds = f"at least {low:g}" if high is None else f"at most {high:g}" if low is None else f"from {low:g} to {high:g}"
        raise UserError(f"`{option.flag}` got `{value}`; allowed is {bounds}", where)
    return value


def _article(kind: type) -> str:
    return {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}[kind]


def to_json(config: Any) -> dict[str, Any]:
    """Plain data, ready for json.dump; `build` reads it back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(config).items()}


def fill(config: T, **chosen: Any) -> T:
    """The config with the chosen values where there is None."""
    return dataclasses.replace(config, **{name: value for name, value in chosen.items() if getattr(config, name) is None})


def agree(theirs: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`theirs`, the settings that weights taken from another run decide; another value given is a UserError."""
    for name, value in theirs.items():
        if given.get(name) not in (None, value):
            raise UserError(
                f"`--{name} {given[name]}` does not fit the weights of --from, which have {name} {value}",
                fix=f"leave `--{name}` out, or train without --from",
            )
    return theirs
