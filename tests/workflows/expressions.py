"""Expressions of GitHub Actions, as far as our workflows use them: contexts, `!`, `==`, `!=`, `&&`, `||`, functions.

Source: https://docs.github.com/en/actions/reference/workflows-and-actions/expressions
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>\d+)|(?P<sign>&&|\|\||==|!=|[!()])|(?P<name>[\w.-]+))")
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)

Functions = Mapping[str, Callable[..., Any]]


class Parser:
    """Evaluates one expression by recursive descent."""

    def __init__(self, text: str, contexts: Mapping[str, Any], functions: Functions) -> None:
        self._tokens = self._split(text)
        self._contexts, self._functions = contexts, {"fromJSON": json.loads, **functions}
        self._text = text

    def _split(self, text: str) -> list[tuple[str, str]]:
        tokens, at = [], 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            assert match, f"cannot read {text[at:]!r} of {text!r}"
            tokens.append((str(match.lastgroup), match[match.lastgroup or 0]))
            at = match.end()
        return tokens

    def _take(self, *words: str) -> str:
        return self._tokens.pop(0)[1] if self._tokens and self._tokens[0][1] in words else ""

    def value(self) -> Any:
        """Return the value of the whole expression."""
        found = self._either()
        assert not self._tokens, f"cannot read {self._tokens} of {self._text!r}"
        return found

    def _either(self) -> Any:
        found = self._both()
        while self._take("||"):
            other = self._both()
            found = found or other
        return found

    def _both(self) -> Any:
        found = self._equal()
        while self._take("&&"):
            other = self._equal()
            found = found and other
        return found

    def _equal(self) -> Any:
        found = self._not()
        while sign := self._take("==", "!="):
            same = (found or "") == (self._not() or "")
            found = same if sign == "==" else not same
        return found

    def _not(self) -> Any:
        return not self._not() if self._take("!") else self._one()

    def _one(self) -> Any:
        if self._take("("):
            found = self._either()
            assert self._take(")"), self._text
            return found
        kind, text = self._tokens.pop(0)
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return int(text)
        if self._take("("):
            arguments = [] if self._take(")") else [self._either()]
            assert not arguments or self._take(")"), self._text
            return self._functions[text](*arguments)
        return (
            {"true": True, "false": False, "null": None}[text] if text in ("true", "false", "null") else self._at(text)
        )

    def _at(self, path: str) -> Any:
        found: Any = self._contexts
        head, *rest = path.split(".")
        assert head in found, f"unknown context {head!r} in {self._text!r}"
        found = found[head]
        for name in rest:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found


def evaluate(text: str, contexts: Mapping[str, Any], functions: Functions | None = None) -> Any:
    """Return the value of an expression without its braces."""
    return Parser(text, contexts, functions or {}).value()


def is_true(condition: object, contexts: Mapping[str, Any], functions: Functions) -> bool:
    """Return whether an `if:` holds. Without a function of the state, it also requires that nothing failed."""
    text = str(condition if condition is not None else "success()").strip()
    match = _EXPRESSION.fullmatch(text)
    text = match[1] if match else text
    asks = re.search(r"\b(always|cancelled|failure|success)\(", text)
    return bool(evaluate(text, contexts, functions)) and bool(asks or functions["success"]())


def filled(value: Any, contexts: Mapping[str, Any]) -> Any:
    """Return a value of a workflow with its expressions evaluated; one that is nothing else keeps its type."""
    if isinstance(value, Mapping):
        return {key: filled(one, contexts) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, contexts) for one in value]
    if not isinstance(value, str):
        return value
    whole = _EXPRESSION.fullmatch(value)
    if whole and value.count("${{") == 1:
        return evaluate(whole[1], contexts)
    return _EXPRESSION.sub(lambda match: as_text(evaluate(match[1], contexts)), value)


def as_text(value: Any) -> str:
    """Return a value as a runner writes it into a variable."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
