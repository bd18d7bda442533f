"""Plain values, as JSON has them, held against the types that they are to have before anything reads them."""

import dataclasses
import sys
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

MOST_SHOWN = 60
"""Characters of a wrong value that an error repeats."""


def conforming(value: Any, hint: Any, where: str) -> Any:
    """`value` as `hint` has it: lists become tuples, and dicts with a `kind` the dataclass of that name.

    Numbers are finite. Dicts may have more entries than a TypedDict names, which stay as they are.

    Raises `ValueError` that begins with `where`, the place of what does not fit.
    """
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if isinstance(value, dict) and (kinds := {kind.__name__: kind for kind in _dataclasses(hint)}):
        return _of_kind(value, kinds, where)
    if origin in (Union, types.UnionType):
        return _alternative(value, hint, where)
    if is_typeddict(hint) and isinstance(value, dict):
        return _with_entries(value, hint, where)
    if origin is dict and isinstance(value, dict):
        return {name: conforming(item, parts[1], f"{where}.{name}") for name, item in value.items()}
    if origin in (tuple, list) and isinstance(value, list | tuple):
        return origin(_items(value, hint, where))
    if _is_plain(value, hint):
        return value
    raise ValueError(f"{where} is {_shown(value)}, expected {_described(hint)}")


def _is_plain(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return any(type(value) is type(part) and value == part for part in get_args(hint))
    if hint is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    return hint in (int, str, bool, types.NoneType) and type(value) is hint


def _alternative(value: Any, hint: Any, where: str) -> Any:
    for part in get_args(hint):
        try:
            return conforming(value, part, where)
        except ValueError:
            continue
    raise ValueError(f"{where} is {_shown(value)}, expected {_described(hint)}")


def _items(value: list[Any] | tuple[Any, ...], hint: Any, where: str) -> Iterator[Any]:
    parts = get_args(hint)
    if get_origin(hint) is list or parts[1:] == (...,):
        parts = (parts[0],) * len(value)
    if len(value) != len(parts):
        raise ValueError(f"{where} has {len(value)} items, expected {len(parts)}")
    for item, part in zip(value, parts, strict=True):
        yield conforming(item, part, where)


def _with_entries(value: dict[str, Any], hint: Any, where: str) -> dict[str, Any]:
    hints = get_type_hints(hint)
    if missing := hint.__required_keys__ - value.keys():
        raise ValueError(f"{where} has no {', '.join(sorted(missing))}")
    return {name: conforming(item, hints.get(name, Any), f"{where}.{name}") for name, item in value.items()}


def _of_kind(value: dict[str, Any], kinds: dict[str, Any], where: str) -> Any:
    name = value.get("kind")
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"{where}: kind {_shown(name)} is not one of {sorted(kinds)}")
    hints = get_type_hints(kind)
    fields = {field.name for field in dataclasses.fields(kind)}
    if unknown := value.keys() - fields - {"kind"}:
        raise ValueError(f"{where}: {name} has no field {sorted(unknown)}; it has {sorted(fields)}")
    given = {n: conforming(item, hints[n], f"{where}.{n}") for n, item in value.items() if n != "kind"}
    try:
        return kind(**given)
    except TypeError as error:  # a field is missing
        raise ValueError(f"{where}: {error}") from error


def _dataclasses(hint: Any) -> tuple[Any, ...]:
    """The dataclasses that a field may hold."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(kind for part in get_args(hint) for kind in _dataclasses(part))
    return (hint,) if dataclasses.is_dataclass(hint) else ()


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of too many digits
        text = "a very large number"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def _described(hint: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_described(part) for part in parts)
    if origin is Literal:
        return " or ".join(map(repr, parts))
    plain = {int: "a whole number", float: "a finite number", str: "a text", bool: "true or false"}
    if hint in plain or hint is types.NoneType:
        return plain.get(hint, "nothing")
    return "a list" if origin in (tuple, list) else "entries by name"
