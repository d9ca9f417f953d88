"""From plain values to the Structs of a schema, or to every fault with its place. Source: config.md 1.

The declarations are read through `msgspec.inspect`. `msgspec.convert` is not used: it stops at the first fault and
accepts no `yes` for a boolean. Accepted in addition to the declared type: words, 0 and 1 for a boolean, digits in
quotes for an integer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from msgspec import Struct, inspect

from bakery.config.schema import mismatch
from bakery.config.schema.mismatch import WrongValue
from bakery.config.yaml.problem import Finding, Keys, alternatives

_MAX_FAULTS = 1000  # of one document; more are not reported
_TRUE = ("true", "t", "yes", "y", "on", "1", True)  # True == 1 == 1.0
_FALSE = ("false", "f", "no", "n", "off", "0", False)
_WHOLE = re.compile(r"\s*[-+]?[0-9]+(?:_[0-9]+)*(?:\.0+)?\s*")
_MAX_NUMBER = 400  # characters; Python refuses to parse numbers that are much longer
_MAX_EXACT_FLOAT = 2**53

_WRONG: Any = object()
"""What a reader returns in place of a value that has a fault."""

_Reader = Callable[[Any, Keys, list[Finding]], Any]
"""Takes a value, its place, and a list that faults are added to; returns the converted value, or `_WRONG`."""

_Part = TypeVar("_Part", bound=Struct)


def read(raw: Any, part: type[_Part], place: Keys = ()) -> tuple[_Part | None, list[Finding]]:
    """Return the mapping at `place` as a `part`, or None and its faults."""
    faults: list[Finding] = []
    made = _struct(_declared(part))(raw, place, faults)
    return None if made is _WRONG else made, faults[:_MAX_FAULTS]


def read_fields(raw: Mapping[Any, Any], part: type[Struct], place: Keys) -> tuple[dict[str, Any] | None, list[Finding]]:
    """Return the fields of a `part` that a mapping has, by name and without defaults, or None and its faults."""
    faults: list[Finding] = []
    return _fields(_declared(part))(raw, place, faults), faults[:_MAX_FAULTS]


def is_true(value: Any) -> bool:
    """Return whether a value is read as true. Anything but a boolean counts as false; reading it reports that."""
    return _flag(value, (), []) is True


@cache
def _declared(part: type[Struct]) -> inspect.StructType:
    declared = inspect.type_info(part)
    assert isinstance(declared, inspect.StructType)
    return declared


def _reader(declared: inspect.Type) -> _Reader:
    match declared:
        case inspect.Metadata():
            return _described(declared)
        case inspect.StructType():
            return _struct(declared)
        case inspect.UnionType():
            return _union(declared)
        case inspect.StrType():
            return _text(declared)
        case inspect.VarTupleType() | inspect.ListType():
            return _list(declared)
        case inspect.DictType():
            return _mapping(declared)
        case inspect.LiteralType():
            return _choice([str(word) for word in declared.values])
        case inspect.BoolType():
            return _flag
        case inspect.IntType():
            return _number(declared)
        case inspect.FloatType():
            return _float(declared)
        case inspect.AnyType():
            return _anything
    raise TypeError(f"unsupported type: {declared}")


def _refuse_other_constraints(declared: inspect.Type, *supported: str) -> None:
    """Raise TypeError if the type has a constraint that is not checked."""
    for name in ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern"):
        if name not in supported and getattr(declared, name, None) is not None:
            raise TypeError(f"unsupported constraint {name} of {declared}")


def _anything(value: Any, place: Keys, faults: list[Finding]) -> Any:  # noqa: ARG001 - the signature of every reader
    return value


def _struct(declared: inspect.StructType) -> _Reader:
    part, fields = declared.cls, _fields(declared)

    def read_struct(value: Any, place: Keys, faults: list[Finding]) -> Any:
        if not isinstance(value, dict):
            return _wrong(faults, place, mismatch.expected_mapping(value))
        found = fields(value, place, faults)
        return _WRONG if found is None else part(**found)

    return read_struct


_FieldsReader = Callable[[Mapping[Any, Any], Keys, list[Finding]], dict[str, Any] | None]
_made: dict[type, _FieldsReader] = {}
"""By Struct: one Struct is part of several others and is read for many entries."""


def _fields(declared: inspect.StructType) -> _FieldsReader:
    found = _made.get(declared.cls)
    if found is None:
        found = _made[declared.cls] = _fields_reader(declared)
    return found


def _fields_reader(declared: inspect.StructType) -> _FieldsReader:
    fields = [(field.encode_name, field.name, _reader(field.type), field.required) for field in declared.fields]
    known = [key for key, *_ in fields]

    def read_fields(value: Mapping[Any, Any], place: Keys, faults: list[Finding]) -> dict[str, Any] | None:
        found: dict[str, Any] = {}
        before = len(faults)
        for key, name, reader, required in fields:
            if key in value:
                found[name] = reader(value[key], (*place, key), faults)
            elif required:
                faults.append(Finding((*place, key), f"`{key}` is missing"))
        if declared.forbid_unknown_fields:
            unknown = [key for key in value if key not in known]
            faults += [Finding((*place, key), *mismatch.unknown_key(key, known), at_key=True) for key in unknown]
        return found if len(faults) == before else None

    return read_fields


def _described(declared: inspect.Metadata) -> _Reader:
    extra = declared.extra or {}
    if "reads" in extra:
        return _by_function(extra["reads"], declared.type)
    if "words" in extra:
        return _choice(extra["words"])
    if "current" in extra:
        assert isinstance(declared.type, inspect.UnionType)
        return _tagged(declared.type, extra["current"])
    if "allowed" in extra:
        assert isinstance(declared.type, inspect.StrType)
        return _text(declared.type, extra["allowed"])
    return _reader(declared.type)


def _by_function(function: Callable[[Any], Any], declared: inspect.Type) -> _Reader:
    inner = None if isinstance(declared, inspect.StructType) else _reader(declared)

    def read_by_function(value: Any, place: Keys, faults: list[Finding]) -> Any:
        try:
            value = function(value)
        except WrongValue as error:
            return _wrong(faults, place, (str(error), ""))
        return value if inner is None else inner(value, place, faults)

    return read_by_function


def _union(declared: inspect.UnionType) -> _Reader:
    """A union of at most None, one list type and one other type."""
    sequences = inspect.VarTupleType | inspect.ListType
    lists = [one for one in declared.types if isinstance(one, sequences)]
    others = [one for one in declared.types if not isinstance(one, sequences | inspect.NoneType)]
    nothing = len(others) + len(lists) < len(declared.types)
    if len(lists) > 1 or len(others) > 1:
        raise TypeError(f"cannot distinguish the values of {declared}")
    other, many = (_reader((kind or back)[0]) for kind, back in ((others, lists), (lists, others)))

    def read_union(value: Any, place: Keys, faults: list[Finding]) -> Any:
        if value is None and nothing:
            return None
        return (many if isinstance(value, list) else other)(value, place, faults)

    return read_union


def _tagged(declared: inspect.UnionType, current: Sequence[str]) -> _Reader:
    """Structs distinguished by a tag. current: the tags that are not deprecated."""
    kinds = [one for one in declared.types if isinstance(one, inspect.StructType)]
    tag_key = kinds[0].tag_field
    readers = {kind.tag: _struct(kind) for kind in kinds}

    def read_tagged(value: Any, place: Keys, faults: list[Finding]) -> Any:
        if not isinstance(value, dict):
            return _wrong(faults, place, mismatch.expected_mapping(value))
        if tag_key not in value:
            return _wrong(faults, place, (f"`{tag_key}` is missing: expected {alternatives(current)}", ""))
        tag = value[tag_key]
        if not isinstance(tag, str) or tag not in readers:
            message, hint = mismatch.expected_word(tag, current)
            return _wrong(faults, place, (f"`{tag_key}`: {message}", hint))
        return readers[tag](value, place, faults)

    return read_tagged


def _text(declared: inspect.StrType, allowed: str = "") -> _Reader:
    """allowed: what the pattern allows, in words."""
    _refuse_other_constraints(declared, "pattern", "min_length")
    pattern = re.compile(declared.pattern) if declared.pattern else None
    least = declared.min_length or 0

    def read_text(value: Any, place: Keys, faults: list[Finding]) -> Any:
        if not isinstance(value, str):
            return _wrong(faults, place, mismatch.expected_string(value))
        if len(value) < least:
            return _wrong(faults, place, ("expected a string that is not empty", ""))
        if pattern is not None and not pattern.fullmatch(value):
            return _wrong(faults, place, mismatch.expected(allowed, value))
        return value

    return read_text


def _list(declared: inspect.VarTupleType | inspect.ListType) -> _Reader:
    _refuse_other_constraints(declared, "min_length")
    item, least = _reader(declared.item_type), declared.min_length or 0
    made = list if isinstance(declared, inspect.ListType) else tuple

    def read_list(value: Any, place: Keys, faults: list[Finding]) -> Any:
        if not isinstance(value, list | tuple):
            return _wrong(faults, place, mismatch.expected_list(value))
        if len(value) < least:
            return _wrong(faults, place, ("expected at least one entry", ""))
        return made([item(one, (*place, index), faults) for index, one in enumerate(value)])

    return read_list


def _mapping(declared: inspect.DictType) -> _Reader:
    _refuse_other_constraints(declared)
    inner = _reader(declared.value_type)

    def read_mapping(value: Any, place: Keys, faults: list[Finding]) -> Any:
        if not isinstance(value, dict):
            return _wrong(faults, place, mismatch.expected_mapping(value))
        strange = [key for key in value if not isinstance(key, str)]
        faults += [Finding((*place, key), *mismatch.expected_string(key), at_key=True) for key in strange]
        return {key: inner(one, (*place, key), faults) for key, one in value.items()}

    return read_mapping


def _choice(words: Sequence[str]) -> _Reader:
    def read_choice(value: Any, place: Keys, faults: list[Finding]) -> Any:
        return value if value in words else _wrong(faults, place, mismatch.expected_word(value, words))

    return read_choice


def _flag(value: Any, place: Keys, faults: list[Finding]) -> Any:
    word = value.lower() if isinstance(value, str) else value
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    return _wrong(faults, place, mismatch.expected("true or false", value))


def _number(declared: inspect.IntType) -> _Reader:
    _refuse_other_constraints(declared, "gt")
    above = declared.gt

    def read_number(value: Any, place: Keys, faults: list[Finding]) -> Any:
        whole = _whole(value)
        if whole is None:
            return _wrong(faults, place, mismatch.expected("an integer", value))
        if above is not None and whole <= above:
            return _wrong(faults, place, mismatch.expected(f"an integer greater than {above}", value))
        return whole

    return read_number


def _whole(value: Any) -> int | None:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _MAX_EXACT_FLOAT else None
    if isinstance(value, str) and len(value) <= _MAX_NUMBER and _WHOLE.fullmatch(value):
        return int(value.partition(".")[0])
    return None


def _float(declared: inspect.FloatType) -> _Reader:
    _refuse_other_constraints(declared)

    def read_float(value: Any, place: Keys, faults: list[Finding]) -> Any:
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            return _wrong(faults, place, mismatch.expected("a number", value))

    return read_float


def _wrong(faults: list[Finding], place: Keys, fault: tuple[str, str]) -> Any:
    faults.append(Finding(place, *fault))
    return _WRONG
