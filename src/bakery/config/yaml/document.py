"""YAML text as plain values, and the place of each value in the file. Knows nothing about the meaning of keys.

YAML 1.2, one document, parsed from libyaml's event stream. Scalars are resolved here, by the core schema of YAML 1.2.2,
section 10.3, so `yes`, `1.2.3` and `2026-03-01` are strings. Refused: duplicate keys, tags, an alias that contains
itself, more than `MAX_ALIASED` nodes from aliases, nesting deeper than `MAX_DEPTH`.
Merge keys (`<<`) belong to YAML 1.1, but are common and therefore supported.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from bakery.config.yaml.problem import Finding, InvalidProject, Keys, Problem, key_text, path_text

MAX_ALIASED = 100_000
MAX_DEPTH = 64
MAX_FINDINGS = 200

_CORE = "tag:yaml.org,2002:"
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_NUMBER = re.compile(
    r"(?P<int>[-+]?[0-9]+)|0o(?P<oct>[0-7]+)|0x(?P<hex>[0-9a-fA-F]+)"
    r"|(?P<float>[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<inf>[-+]?\.(?:inf|Inf|INF))|(?P<nan>\.(?:nan|NaN|NAN))"
)
_NUMBER_START = frozenset("0123456789+-.")
_MAX_NUMBER = 400  # characters; Python refuses to parse numbers that are much longer


def resolve(text: str) -> Any:
    """Return the value of a plain scalar by the core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START or len(text) > _MAX_NUMBER:
        return text
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    if match["int"]:
        return int(match["int"])
    if match["float"]:
        return float(match["float"])
    if match["oct"]:
        return int(match["oct"], 8)
    if match["hex"]:
        return int(match["hex"], 16)
    return math.nan if match["nan"] else float(match["inf"].replace(".", ""))


class Node:
    """The place of a value: its line and column (from 0), those of its keys, and the nodes of its children."""

    __slots__ = ("children", "column", "keys", "line")

    def __init__(self, line: int, column: int, children: dict[Any, Node] | list[Node] | None = None) -> None:
        self.line, self.column, self.children = line, column, children
        self.keys: dict[Any, tuple[int, int]] = {}

    def child(self, part: str | int) -> Node | None:
        """Return the node of a key or index, or None."""
        if isinstance(self.children, dict):
            return self.children.get(part)
        if isinstance(self.children, list) and isinstance(part, int) and 0 <= part < len(self.children):
            return self.children[part]
        return None


class Document:
    """A YAML text with its value. Places are computed when the first one is needed: most runs need none."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.text = text.removeprefix("\ufeff")
        self._root: Node | None = None
        self._lines: list[str] | None = None
        parser = _Parser(self, places=False)
        self.value: Any = parser.value
        self.findings: list[Finding] = parser.findings

    def node(self, path: Keys) -> Node | None:
        """Return the node of exactly this path, or None if the file does not have it."""
        if self._root is None:
            self._root = _Parser(self, places=True).root
        found: Node | None = self._root
        for part in path:
            found = found.child(part) if found is not None else None
        return found

    def locate(self, path: Keys, *, at_key: bool = False) -> tuple[int, int]:
        """Return line and column, from 1, of the value at `path` or of the innermost value around it."""
        for length in range(len(path), -1, -1):
            found = self.node(path[:length])
            if found is None:
                continue
            if length == len(path) and at_key and path:
                parent = self.node(path[:-1])
                if parent is not None and path[-1] in parent.keys:
                    line, column = parent.keys[path[-1]]
                    return line + 1, column + 1
            return found.line + 1, found.column + 1
        return 0, 0

    def line(self, number: int) -> str:
        """Return the text of a line, counted from 1; or "" past the end."""
        if self._lines is None:
            self._lines = self.text.splitlines()
        return self._lines[number - 1].rstrip() if 0 < number <= len(self._lines) else ""

    def problem(self, finding: Finding) -> Problem:
        """Return the finding with its place."""
        line, column = finding.at or self.locate(finding.path, at_key=finding.at_key)
        return Problem(
            self.file,
            line,
            column,
            path_text(finding.path),
            finding.message,
            finding.hint,
            finding.warning,
            finding.strict,
            self.line(line),
        )


class _Frame:
    """A list or mapping that is being parsed."""

    __slots__ = ("anchor", "items", "key", "keymark", "merges", "node", "weight")

    def __init__(self, items: dict[Any, Any] | list[Any], anchor: str | None, node: Node | None) -> None:
        self.items, self.anchor, self.node = items, anchor, node
        self.weight = 1
        self.key: Any = _NO_KEY
        self.keymark: Any = None
        self.merges: list[tuple[Any, Node | None]] = []


_NO_KEY = object()
_MERGE = object()


class _Parser:
    """One pass over the events. With `places` it also builds the tree of nodes."""

    def __init__(self, document: Document, *, places: bool) -> None:
        self.document, self.places = document, places
        self.findings: list[Finding] = []
        self.value: Any = {}
        self.root = Node(0, 0)
        self._anchors: dict[str, tuple[Any, Node | None, int]] = {}
        self._aliased = 0
        self._stack: list[_Frame] = []
        self._done = False
        self._parse()

    def _fail(self, message: str, mark: Any, hint: str = "") -> InvalidProject:
        """Return the error for text that cannot be parsed any further."""
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        document = self.document
        problem = Problem(document.file, line, column, "", message, hint, False, False, document.line(line))
        return InvalidProject(document.file, [problem])

    def _parse(self) -> None:
        import yaml  # slow to import, and commands without a project do not need it

        events: Iterator[Any] = yaml.parse(
            self.document.text, Loader=yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
        )
        handlers = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._mapping,
            yaml.SequenceStartEvent: self._sequence,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
        }
        try:
            for event in events:
                handler = handlers.get(type(event))
                if handler is not None:
                    handler(event)
                elif type(event) is yaml.DocumentStartEvent and self._done:
                    raise self._fail(
                        "expected a single YAML document, found a second one", event.start_mark, "keep one of them"
                    )
        except yaml.YAMLError as error:
            problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unexpected text"
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            context = getattr(error, "context", None)
            raise self._fail(
                f"invalid YAML: {problem}{f' ({context})' if context else ''}", mark or self._offset_mark(error)
            ) from error

    def _offset_mark(self, error: Any) -> Any:
        """Return the mark of a character that YAML does not allow: the error has only its offset."""
        position = getattr(error, "position", None)
        if not isinstance(position, int):
            return None
        before = self.document.text[:position].split("\n")
        return Node(len(before) - 1, len(before[-1]))

    def _path(self, extra: Any = _NO_KEY) -> Keys:
        path: list[Any] = [len(frame.items) if isinstance(frame.items, list) else frame.key for frame in self._stack]
        if path:
            path.pop()
        if extra is not _NO_KEY:
            path.append(extra)
        return tuple(path)

    def _scalar(self, event: Any) -> None:
        text: str = event.value
        tag = event.tag
        if tag is not None and tag != "!":
            if tag != _CORE + "str":
                raise self._fail(f"YAML tag {tag!r} is not supported", event.start_mark, "remove the tag")
            value: Any = text
        elif event.implicit[0] and tag is None:
            value = resolve(text)
        else:
            value = text
        node = Node(event.start_mark.line, event.start_mark.column) if self.places else None
        if event.anchor:
            self._anchors[event.anchor] = (value, node, 1)
        stack = self._stack
        if stack and type(stack[-1].items) is dict and stack[-1].key is _NO_KEY:
            if text == "<<" and event.implicit[0]:
                value = _MERGE
            self._take_key(value, event.start_mark)
            return
        self._add(value, node, 1)

    def _take_key(self, key: Any, mark: Any) -> None:
        frame = self._stack[-1]
        if key is not _MERGE and key in frame.items and not self.places and len(self.findings) < MAX_FINDINGS:
            self.findings.append(
                Finding(
                    self._path(key),
                    f"duplicate key `{key_text(key)}`",
                    "remove one of the two",
                    at=(mark.line + 1, mark.column + 1),
                )
            )
        frame.key, frame.keymark = key, mark

    def _begin(self, event: Any, items: dict[Any, Any] | list[Any]) -> None:
        if event.tag is not None and event.tag not in ("!", _CORE + "map", _CORE + "seq"):
            raise self._fail(f"YAML tag {event.tag!r} is not supported", event.start_mark, "remove the tag")
        if len(self._stack) >= MAX_DEPTH:
            raise self._fail(f"nested more than {MAX_DEPTH} levels deep", event.start_mark)
        if self._stack and type(self._stack[-1].items) is dict and self._stack[-1].key is _NO_KEY:
            raise self._fail("a key must be a string, not a list or mapping", event.start_mark)
        node = None
        if self.places:
            node = Node(event.start_mark.line, event.start_mark.column, {} if isinstance(items, dict) else [])
        if event.anchor:
            self._anchors.pop(event.anchor, None)
        self._stack.append(_Frame(items, event.anchor, node))

    def _mapping(self, event: Any) -> None:
        self._begin(event, {})

    def _sequence(self, event: Any) -> None:
        self._begin(event, [])

    def _end(self, event: Any) -> None:
        frame = self._stack.pop()
        if frame.merges:
            self._merge(frame, event)
        if frame.anchor:
            self._anchors[frame.anchor] = (frame.items, frame.node, frame.weight)
        self._add(frame.items, frame.node, frame.weight)

    def _merge(self, frame: _Frame, event: Any) -> None:
        assert isinstance(frame.items, dict)
        for source, node in frame.merges:
            several = isinstance(source, list)
            for index, mapping in enumerate(source if several else [source]):
                if not isinstance(mapping, dict):
                    raise self._fail("`<<` must refer to a mapping or a list of mappings", event.start_mark)
                inner = node.child(index) if several and node is not None else node
                for key, value in mapping.items():
                    if key in frame.items:
                        continue
                    frame.items[key] = value
                    if frame.node is not None and inner is not None:
                        child = inner.child(key)
                        assert isinstance(frame.node.children, dict)
                        if child is not None:
                            frame.node.children[key] = child
                            frame.node.keys[key] = inner.keys.get(key, (child.line, child.column))

    def _alias(self, event: Any) -> None:
        known = self._anchors.get(event.anchor)
        if known is None:
            raise self._fail(f"the alias *{event.anchor} has no anchor before it, or contains itself", event.start_mark)
        value, node, weight = known
        self._aliased += weight
        if self._aliased > MAX_ALIASED:
            raise self._fail(
                f"the aliases of this file expand to more than {MAX_ALIASED:,} values", event.start_mark,
                "write the values out",
            )  # fmt: skip
        frame = self._stack[-1] if self._stack else None
        if frame is not None and type(frame.items) is dict and frame.key is _NO_KEY:
            if isinstance(value, dict | list):
                raise self._fail("a key must be a string, not a list or mapping", event.start_mark)
            self._take_key(value, event.start_mark)
            return
        self._add(value, node, weight)

    def _add(self, value: Any, node: Node | None, weight: int) -> None:
        if not self._stack:
            self.value, self._done = value, True
            if node is not None:
                self.root = node
            return
        frame = self._stack[-1]
        frame.weight += weight
        items, place = frame.items, frame.node
        if isinstance(items, list):
            items.append(value)
            if node is not None and place is not None and isinstance(place.children, list):
                place.children.append(node)
            return
        key, frame.key = frame.key, _NO_KEY
        if key is _MERGE:
            frame.merges.append((value, node))
            return
        items[key] = value
        if node is not None and place is not None and isinstance(place.children, dict):
            place.children[key] = node
            place.keys[key] = (frame.keymark.line, frame.keymark.column)
