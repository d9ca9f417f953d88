"""Fault rules as JSON, for `--faults FILE.json`. docs/faults.md describes the format for users.

    {"like": "ghcr", "rules": [{"then": "drop the connection", "after": "commit", "method": "PUT", "times": 1},
                               {"then": {"effect": "lag", "seconds": 4}}]}

Unknown names and values are errors: a fault that silently never happens would prove nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from bakery.errors import InvalidContent, UsageError
from bakery.files import read_regular
from bakery.oci.canonical import MAX_MANIFEST_BYTES, RawNumber, parse_object
from bakery.rehearsal import faults
from bakery.rehearsal.faults import PHRASES, Effect, Rule, When
from bakery.rehearsal.profiles import Profile, profile
from bakery.rehearsal.routes import ApiRoute

EFFECTS: Final[Mapping[str, type[Effect]]] = {
    "cut": faults.Cut,
    "drop": faults.Drop,
    "endless": faults.Endless,
    "expire token": faults.ExpireToken,
    "lag": faults.Lag,
    "refuse": faults.Refuse,
    "relocate": faults.Relocate,
    "slow": faults.Slow,
    "stale": faults.Stale,
    "wait": faults.Wait,
    "wrong bytes": faults.WrongBytes,
    "wrong digest": faults.WrongDigest,
}
# The members of rules and effects, by the JSON type that they accept.
_TEXT: Final = frozenset({"name", "method", "path", "repository", "code", "message", "origin", "content_type"})
_COUNTS: Final = frozenset({"times", "skip", "status", "body_bytes", "piece_bytes"})
_NUMBERS: Final = frozenset({"probability", "share", "seconds", "pause_s"})
_FLAGS: Final = frozenset({"by_reset"})
_RULE: Final = ("then", "after", "name", "method", "path", "route", "repository", "probability", "times", "skip")


def read(path: Path) -> Profile:
    """Return the profile that this file describes. Raises UsageError, naming the file, the rule and what is allowed."""
    try:
        document = parse_object(read_regular(path, limit_bytes=MAX_MANIFEST_BYTES), about=path)
    except OSError as error:
        raise _invalid(str(path), error.strerror or str(error)) from error
    except InvalidContent as error:
        raise _invalid(str(path), error.why) from error
    return parse(document, about=str(path))


def parse(document: Mapping[str, Any], *, about: str = "") -> Profile:
    """Return the profile that this document describes. Raises UsageError."""
    _check_keys(about, document, ("like", "rules"))
    like, rules = document.get("like"), document.get("rules", [])
    base = profile(like) if isinstance(like, str) else Profile("", "")
    if not isinstance(rules, list) or not (like is None or isinstance(like, str)):
        raise _invalid(about, "`rules` must be a list, `like` the name of a profile")
    own = tuple(_rule(rule, f"{about} rules[{number}]") for number, rule in enumerate(rules))
    return replace(base, name=about, summary=f"rules from {about}", rules=(*own, *base.rules))


def _rule(value: object, about: str) -> Rule:
    if not isinstance(value, Mapping) or "then" not in value:
        raise _invalid(about, "a rule must be an object with `then`")
    _check_keys(about, value, _RULE)
    then = value["then"]
    members = {key: _value(key, item, about) for key, item in value.items() if key not in ("then", "after", "route")}
    name = then if isinstance(then, str) else str(then.get("effect", "")) if isinstance(then, Mapping) else ""
    return Rule(
        effect=_effect(then, about),
        when=When(_one_of(about, value.get("after", "arrival"), [when.value for when in When])),
        route=ApiRoute(_one_of(about, value["route"], [route.value for route in ApiRoute]))
        if "route" in value
        else None,
        **{"name": name, **members},
    )


def _effect(value: object, about: str) -> Effect:
    if isinstance(value, str):
        return PHRASES[_one_of(about, value, PHRASES)]
    if not isinstance(value, Mapping):
        raise _invalid(about, "`then` must be a phrase or an object with `effect`")
    kind = EFFECTS[_one_of(about, value.get("effect"), EFFECTS)]
    _check_keys(about, value, ("effect", *kind.__struct_fields__))
    members = {key: _value(key, item, about) for key, item in value.items() if key != "effect"}
    required = kind.__struct_fields__[: len(kind.__struct_fields__) - len(kind.__struct_defaults__)]
    missing = [name for name in required if name not in members]
    if missing:
        raise _invalid(about, f"'{value['effect']}' requires {', '.join(missing)}")
    return kind(**members)


def _value(key: str, value: object, about: str) -> Any:
    if key in _TEXT and isinstance(value, str):
        return value
    if key in _FLAGS and isinstance(value, bool):
        return value
    if key in _COUNTS and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if key in _NUMBERS and isinstance(value, int | RawNumber) and not isinstance(value, bool) and float(value) >= 0:
        return float(value)
    if key == "headers" and isinstance(value, Mapping) and all(isinstance(text, str) for text in value.values()):
        return tuple(value.items())
    if key in ("body", "piece") and isinstance(value, str):
        return value.encode()
    raise _invalid(about, f"{key} cannot be {value!r:.100}")


def _one_of(about: str, value: object, allowed: Collection[str]) -> str:
    if isinstance(value, str) and value in allowed:
        return value
    raise _invalid(about, f"unknown value {value!r:.100}, expected one of: {', '.join(allowed)}")


def _check_keys(about: str, value: Mapping[str, Any], allowed: Collection[str]) -> None:
    for key in value:
        if key not in allowed:
            raise _invalid(about, f"unknown key {key!r:.100}, expected one of: {', '.join(allowed)}")


def _invalid(about: str, why: str) -> UsageError:
    return UsageError("cannot read fault rules", about=about, why=why)
