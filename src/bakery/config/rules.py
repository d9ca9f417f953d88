"""Rules of bakery.yaml that a type cannot express: unknown keys, duplicate names, exclusive choices.

They read the plain document and do not depend on its types, so that one run reports every problem. Values of the wrong
type are skipped here: `bakery.config.schema.reader` reports them. Source: config.md 1 to 12.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from bakery.config.names import default_extension, default_tag_name
from bakery.config.schema import declarations as schema
from bakery.config.schema.mismatch import WrongValue
from bakery.config.schema.options_registry import OptionsRegistry
from bakery.config.schema.person import person
from bakery.config.schema.reader import is_true
from bakery.config.traversal import entries, mappings
from bakery.config.yaml.problem import Finding, Keys, alternatives, key_text, nearest
from bakery.errors import BadDocument
from bakery.oci.platform import Platform, unknown_words

_MAX_GUESSES = 100  # unknown keys for which the nearest known one is searched: that is slow
_NUMBERS = re.compile(r"\d+")
_VERSION = re.compile(r"v?[0-9][0-9A-Za-z.+-]*\Z")
_REMOVE_ONE = "remove one of the two"


@lru_cache(maxsize=64)
def _keys(part: type[Struct]) -> frozenset[str]:
    return frozenset((*part.__struct_encode_fields__, *filter(None, (part.__struct_config__.tag_field,))))


class Rules:
    """Checks a document and collects the findings."""

    def __init__(self, options: OptionsRegistry) -> None:
        self.findings: list[Finding] = []
        self._options = options
        self._without_system: list[Keys] = []
        self._unknown = 0

    def project(self, raw: Mapping[Any, Any]) -> list[Finding]:
        """Check a document and return all findings."""
        self._known(raw, schema.ProjectPart, ())
        if isinstance(raw.get("repository"), dict):
            self._repository(raw["repository"], ("repository",))
        self._registry_list(raw, "registries", ())
        if not entries(raw, "images"):
            self._warn((), "the project has no images")
        self._unique(raw, "images", "name", (), "image", "rename one of them")
        for index, image in mappings(raw, "images"):
            self._image(image, ("images", index))
        if self._without_system:
            count = len(self._without_system)
            versions = "1 version has" if count == 1 else f"{count:,} versions have"
            text = f"{versions} no `os`: the platform is linux/amd64, and tags do not name a system"
            self._warn(self._without_system[0], text)
        return self.findings

    def _error(self, path: Keys, message: str, hint: str = "", *, at_key: bool = False) -> None:
        self.findings.append(Finding(path, message, hint, at_key=at_key))

    def _warn(self, path: Keys, message: str, hint: str = "", *, at_key: bool = False, strict: bool = False) -> None:
        self.findings.append(Finding(path, message, hint, warning=True, strict=strict, at_key=at_key))

    def _known(self, raw: Mapping[Any, Any], known: type[Struct] | Iterable[str], path: Keys) -> None:
        keys = _keys(known) if isinstance(known, type) else frozenset(known)
        if raw.keys() <= keys:
            return
        for key in raw:
            if key not in keys:
                self._unknown += 1
                meant = nearest(str(key), keys) if self._unknown <= _MAX_GUESSES else ""
                hint = f"write `{meant}`" if meant else f"use one of: {', '.join(sorted(keys))}"
                text = f"unknown key `{key_text(key)}` has no effect"
                self._warn((*path, key), text, hint, at_key=True, strict=True)

    def _unique(self, raw: Any, key: str, field: str, path: Keys, what: str, hint: str) -> dict[str, int]:
        """Check that no two entries of a list have the same text in a field. Return the first index of each text."""
        first: dict[str, int] = {}
        for index, entry in mappings(raw, key):
            value = entry.get(field)
            if isinstance(value, str) and first.setdefault(value, index) != index:
                text = f"duplicate {what} {value!r}, already in {key}[{first[value]}]"
                self._error((*path, key, index, field), text, hint)
        return first

    def _only_one(
        self, raw: Any, key: str, flag: str, path: Keys, what: str, *, skipped: Collection[int] = ()
    ) -> list[int]:
        """Check that at most one entry of a list has a flag, and return the indexes of those that have it."""
        marked = [index for index, entry in mappings(raw, key) if index not in skipped and is_true(entry.get(flag))]
        for index in marked[1:]:
            text = f"only one {what} can be {flag}, and {key}[{marked[0]}] already is: both would push the same tags"
            self._error((*path, key, index, flag), text, f"set `{flag}: true` on one of them only")
        return marked

    def _exclusive(self, path: Keys, one: str, other: str, hint: str = _REMOVE_ONE) -> None:
        """Report two keys of the mapping at `path` of which only one is allowed."""
        self._error((*path, other), f"`{one}` and `{other}` are mutually exclusive", hint, at_key=True)

    def _repository(self, raw: Mapping[Any, Any], path: Keys) -> None:
        self._known(raw, schema.RepositoryPart, path)
        seen: list[Any] = []
        for index, author in enumerate(entries(raw, "authors")):
            if isinstance(author, dict):
                self._known(author, ("name", "email"), (*path, "authors", index))
            key = _person_key(author)
            if key in seen:
                self._warn((*path, "authors", index), "duplicate author", _REMOVE_ONE)
            seen.append(key)
        maintainer = raw.get("maintainer")
        if isinstance(maintainer, dict):
            self._known(maintainer, ("name", "email"), (*path, "maintainer"))

    def _registry_list(self, raw: Any, key: str, path: Keys) -> None:
        seen: list[Any] = []
        for index, entry in mappings(raw, key):
            same = (entry.get("host"), entry.get("namespace"), entry.get("repository"))
            if same in seen:
                self._warn((*path, key, index), "duplicate registry", _REMOVE_ONE)
            seen.append(same)

    def _registries(self, raw: Mapping[Any, Any], path: Keys) -> None:
        extra, override = "extraRegistries", "overrideRegistries"
        self._registry_list(raw, extra, path)
        self._registry_list(raw, override, path)
        if entries(raw, extra) and entries(raw, override):
            hint = f"keep `{extra}` to add to the inherited registries, or `{override}` to replace them"
            self._exclusive(path, extra, override, hint)

    def _image(self, raw: Mapping[Any, Any], path: Keys) -> None:
        self._known(raw, schema.ImagePart, path)
        self._registries(raw, path)
        self._option_list(raw, path)
        self._pattern_list(raw, path)
        self._unique(raw, "variants", "name", path, "variant", "rename one of them")
        self._unique(raw, "versions", "name", path, "version", "rename one of them")
        self._only_one(raw, "versions", "latest", path, "version")
        self._only_one(raw, "variants", "primary", path, "variant")
        for index, variant in mappings(raw, "variants"):
            place = (*path, "variants", index)
            self._known(variant, schema.VariantPart, place)
            self._option_list(variant, place)
            self._pattern_list(variant, place)
        for index, version in mappings(raw, "versions"):
            self._version(version, (*path, "versions", index))
        for index, secret in mappings(raw, "buildSecrets"):
            self._known(secret, schema.SecretPart, (*path, "buildSecrets", index))
        self._constraint_list(raw, path)
        for index, entry in mappings(raw, "devVersions"):
            self._dev_version(entry, (*path, "devVersions", index))
        matrix = raw.get("matrix")
        if isinstance(matrix, dict):
            self._matrix(matrix, (*path, "matrix"))
            if entries(raw, "versions"):
                self._exclusive(path, "matrix", "versions", "move `versions` to a separate image")
            if entries(raw, "dependencyConstraints"):
                text = "`dependencyConstraints` has no effect on an image with a matrix"
                self._warn((*path, "dependencyConstraints"), text, "move it to `matrix`", at_key=True)
        elif not entries(raw, "versions") and not entries(raw, "devVersions"):
            self._warn(path, "the image has no `versions`, `devVersions` or `matrix`, so it has no targets")

    def _version(self, raw: Mapping[Any, Any], path: Keys) -> None:
        self._known(raw, schema.VersionPart, path)
        self._registries(raw, path)
        self._systems(raw, path)
        self._pinned_list(raw, path)

    def _systems(self, raw: Mapping[Any, Any], path: Keys) -> None:
        systems = entries(raw, "os")
        if not systems:
            if "os" not in raw or raw["os"] == []:
                self._without_system.append(path)
            return
        seen: list[Any] = []
        repeated: set[int] = set()
        for index, entry in mappings(raw, "os"):
            place = (*path, "os", index)
            self._known(entry, schema.SystemPart, place)
            same = _system_key(entry)
            if same in seen:
                self._warn(place, f"duplicate system {entry.get('name')!r}", _REMOVE_ONE)
                repeated.add(index)
            seen.append(same)
            name = entry.get("name")
            if isinstance(name, str) and name[:1].isdigit():
                self._warn((*place, "name"), f"{name!r} starts with a digit, so it is not a known system")
            self._platforms(entry, place)
        several = len(systems) - len(repeated) > 1
        marked = self._only_one(raw, "os", "primary", path, "system", skipped=repeated)
        if several and not marked and len(seen) == len(systems):
            text = "no system is primary, so every tag contains the name of a system"
            self._warn((*path, "os"), text, "set `primary: true` on one of them", at_key=True)

    def _platforms(self, raw: Mapping[Any, Any], path: Keys) -> None:
        for index, text in enumerate(entries(raw, "platforms")):
            if not isinstance(text, str):
                continue
            try:
                words = unknown_words(Platform.parse(text))
            except BadDocument:
                continue  # the reader reports it
            for word, meant in words:
                hint = f"write {meant}" if meant else ""
                self._warn((*path, "platforms", index), f"{word!r} is not a system or architecture that Go knows", hint)

    def _pinned_list(self, raw: Mapping[Any, Any], path: Keys) -> dict[str, int]:
        """Check pinned dependencies, and return their names with the index of each."""
        for index, entry in mappings(raw, "dependencies"):
            place = (*path, "dependencies", index)
            name = entry.get("dependency")
            self._no_prerelease(entry, name, place)
            given = [key for key in ("version", "versions") if key in entry]
            if len(given) == 2:
                self._exclusive(place, *given)
            elif not given:
                self._error(place, "`version` or `versions` is missing")
            elif name == "quarto":
                value = entry[given[0]]
                parts = value.split(",") if isinstance(value, str) else value
                if isinstance(parts, list) and len(parts) > 1:
                    self._error((*place, given[0]), "quarto must have a single version")
        return self._unique(raw, "dependencies", "dependency", path, "dependency", "merge the two entries")

    def _no_prerelease(self, entry: Mapping[Any, Any], name: Any, place: Keys) -> None:
        if "prerelease" in entry and name in ("python", "R"):
            text = f"`prerelease` is not supported for {name}, only for quarto and positron"
            self._error((*place, "prerelease"), text, at_key=True)

    def _constraint_list(self, raw: Mapping[Any, Any], path: Keys) -> dict[str, int]:
        """Check constrained dependencies, and return their names with the index of each."""
        key = "dependencyConstraints"
        for index, entry in mappings(raw, key):
            place = (*path, key, index)
            name = entry.get("dependency")
            self._no_prerelease(entry, name, place)
            if isinstance(entry.get("constraint"), dict):
                self._constraint(entry["constraint"], name, (*place, "constraint"))
        return self._unique(raw, key, "dependency", path, "dependency", "merge the two entries")

    def _constraint(self, raw: Mapping[Any, Any], dependency: Any, path: Keys) -> None:
        self._known(raw, schema.ConstraintPart, path)
        given = {key for key in ("latest", "count", "max", "min") if raw.get(key) is not None}
        latest = is_true(raw.get("latest"))
        if not given & {"latest", "max"}:
            self._error(path, "`latest` or `max` is required")
        elif {"latest", "max"} <= given:
            self._exclusive(path, "latest", "max")
        elif "latest" in given and not latest:
            self._error((*path, "latest"), "`latest: false` selects nothing", "write `latest: true`, or use `max`")
        if "count" in given and "min" in given and given & {"latest", "max"}:
            other = "latest" if "latest" in given else "max"
            text = f"`count` cannot be combined with `{other}` and `min`"
            self._error((*path, "count"), text, "remove `count` or `min`", at_key=True)
        for key in given & {"min", "max"}:
            if isinstance(raw[key], str) and not _VERSION.match(raw[key]):
                self._error((*path, key), f"expected a version such as 4.5 or 4.5.1, got {raw[key]!r}")
        if {"min", "max"} <= given and _above(raw["min"], raw["max"]):
            self._error((*path, "min"), f"`min` {raw['min']} is greater than `max` {raw['max']}", "swap them")
        if dependency == "quarto":
            count = raw.get("count")
            if isinstance(count, int) and count > 1:
                self._error((*path, "count"), "quarto must have a single version", "write `count: 1`")
            elif given == {"max"}:
                text = "quarto must have a single version, but `max` selects every minor version up to it"
                self._error(path, text, "add `count: 1`")

    def _matrix(self, raw: Mapping[Any, Any], path: Keys) -> None:
        self._known(raw, schema.MatrixPart, path)
        self._registries(raw, path)
        self._systems(raw, path)
        pinned = self._pinned_list(raw, path)
        constrained = self._constraint_list(raw, path)
        for name in pinned.keys() & constrained.keys():
            place = (*path, "dependencyConstraints", constrained[name], "dependency")
            self._error(place, f"{name} is also in dependencies[{pinned[name]}]", "remove it from one of the two lists")
        values = raw.get("values")
        empty = not pinned and not constrained and (values is None or values == {})
        if empty and not entries(raw, "dependencies") and not entries(raw, "dependencyConstraints"):
            text = "a matrix must have `dependencies`, `dependencyConstraints` or `values`"
            self._error(path, text, at_key=True)
        for key, value in values.items() if isinstance(values, dict) else ():
            if value == []:
                self._error((*path, "values", key), "an empty axis produces no versions", "list at least one value")

    def _dev_version(self, raw: Mapping[Any, Any], path: Keys) -> None:
        kind = raw.get("sourceType")
        if kind not in ("channel", "stream", "dependency"):
            return  # reported by the reader
        self._known(raw, schema.NewestPart if kind == "dependency" else schema.ChannelPart, path)
        if kind == "stream":
            self._warn((*path, "sourceType"), "`sourceType: stream` is deprecated", "write `sourceType: channel`")
        if kind != "dependency":
            if "stream" in raw:
                self._warn((*path, "stream"), "`stream` is deprecated", "write `channel`", at_key=True)
            if "stream" in raw and "channel" in raw:
                self._exclusive(path, "channel", "stream", "remove `stream`")
            elif raw.get("stream") is None and raw.get("channel") is None:
                self._error((*path, "channel"), f"`channel` is missing: expected {alternatives(schema.CHANNELS)}")
        self._registries(raw, path)
        if not entries(raw, "os") and ("os" not in raw or raw["os"] == []):
            self._warn(path, "a development version without `os` is skipped", "add `os`")
        else:
            self._systems(raw, path)

    def _pattern_list(self, raw: Mapping[Any, Any], path: Keys) -> None:
        for index, entry in mappings(raw, "tagPatterns"):
            self._known(entry, schema.TagPatternPart, (*path, "tagPatterns", index))

    def _option_list(self, raw: Mapping[Any, Any], path: Keys) -> None:
        for index, entry in mappings(raw, "options"):
            tool = entry.get("tool")
            if isinstance(tool, str) and tool in self._options:  # else reported when the entry is read
                self._known(entry, self._options[tool].keys, (*path, "options", index))
        self._unique(raw, "options", "tool", path, "options of", "merge the two entries")


def _system_key(entry: Mapping[Any, Any]) -> tuple[Any, Any, Any]:
    """Return what identifies a system: its name, extension and tag name, with defaults filled in."""
    name = entry.get("name")
    spelled = name if isinstance(name, str) else ""
    extension = entry.get("extension") or default_extension(spelled)
    return name, extension, entry.get("tagDisplayName") or default_tag_name(spelled)


def _person_key(value: Any) -> str:
    try:
        return str(person(value))
    except WrongValue:
        return repr(value)


def _above(low: Any, high: Any) -> bool:
    """Return whether `low` is greater than `high`, compared at the precision of `high`: 4.5 is not greater than 4."""
    bounds = [[int(part) for part in _NUMBERS.findall(str(text))] for text in (low, high)]
    precision = len(bounds[1])
    return bounds[0][:precision] > bounds[1] if all(bounds) else False
