"""Rules of bakery.yaml that no single type can state: unknown keys, names that occur twice, exclusive choices.

They read the plain document and stand whatever else is wrong in it, so that one run tells every problem. What has the
wrong type is passed over here: `bakery.config.schema.declarations` tells it. Source: config.md, sections 1 to 12.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from bakery.config.schema import declarations as schema
from bakery.config.schema.field_types import WrongValue, default_extension, default_tag_name, person
from bakery.config.schema.options_registry import OptionsRegistry
from bakery.config.schema.reader import is_true
from bakery.config.traversal import entries, mappings
from bakery.config.yaml.problem import Finding, Keys, key_text, listing, nearest

_MOST_GUESSES = 100  # looking for the nearest key takes time; a file with so many wrong ones is not about a slip
_NUMBERS = re.compile(r"\d+")
_VERSION = re.compile(r"v?[0-9][0-9A-Za-z.+-]*\Z")


@lru_cache(maxsize=64)
def _keys(part: type[Struct]) -> frozenset[str]:
    return frozenset((*part.__struct_encode_fields__, *filter(None, (part.__struct_config__.tag_field,))))


class Rules:
    """Goes through a document and collects what it finds."""

    def __init__(self, options: OptionsRegistry) -> None:
        self.findings: list[Finding] = []
        self._options = options
        self._without_system: list[Keys] = []
        self._unknown = 0

    def project(self, raw: Any) -> list[Finding]:
        """Everything that is to be told about a document whose top is a mapping."""
        self._known(raw, schema.ProjectPart, ())
        if isinstance(raw.get("repository"), dict):
            self._repository(raw["repository"], ("repository",))
        self._registry_list(raw, "registries", ())
        if not entries(raw, "images"):
            self._warn((), "the project has no images")
        self._unique_names(raw, "images", (), "image")
        for index, image in mappings(raw, "images"):
            self._image(image, ("images", index))
        if self._without_system:
            some = len(self._without_system)
            what = "1 version has" if some == 1 else f"{some} versions have"
            self._warn(
                self._without_system[0], f"{what} no `os`; platforms are then linux/amd64, and tags name no system"
            )
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
            if key in keys:
                continue
            self._unknown += 1
            meant = nearest(str(key), keys) if self._unknown <= _MOST_GUESSES else ""
            hint = f"write `{meant}`" if meant else f"known here: {', '.join(sorted(keys))}"
            self._warn(
                (*path, key),
                f"the key `{key_text(key)}` is not known and has no effect",
                hint,
                at_key=True,
                strict=True,
            )

    def _unique_names(self, raw: Any, key: str, path: Keys, what: str) -> None:
        seen: dict[str, int] = {}
        for index, entry in mappings(raw, key):
            name = entry.get("name")
            if not isinstance(name, str):
                continue
            if name in seen:
                self._error(
                    (*path, key, index, "name"), f"the {what} name {name!r} is taken by {key}[{seen[name]}]",
                    "give each its own name",
                )  # fmt: skip
            else:
                seen[name] = index

    def _only_one(
        self,
        raw: Any,
        key: str,
        flag: str,
        path: Keys,
        message: Callable[[int], str],
        *,
        skipped: Collection[int] = (),
    ) -> int:
        """At most one entry may carry a flag, those skipped aside: they are dropped. Gives how many do."""
        marked = [index for index, entry in mappings(raw, key) if index not in skipped and is_true(entry.get(flag))]
        for index in marked[1:]:
            self._error((*path, key, index, flag), message(marked[0]), f"keep `{flag}: true` at one of them")
        return len(marked)

    def _repository(self, raw: Mapping[Any, Any], path: Keys) -> None:
        self._known(raw, schema.RepositoryPart, path)
        seen: list[Any] = []
        for index, author in enumerate(entries(raw, "authors")):
            if isinstance(author, dict):
                self._known(author, ("name", "email"), (*path, "authors", index))
            key = _person_key(author)
            if key in seen:
                self._warn((*path, "authors", index), "this author is named twice", "keep one")
            seen.append(key)
        maintainer = raw.get("maintainer")
        if isinstance(maintainer, dict):
            self._known(maintainer, ("name", "email"), (*path, "maintainer"))

    def _registry_list(self, raw: Any, key: str, path: Keys) -> None:
        seen: list[Any] = []
        for index, entry in mappings(raw, key):
            same = (entry.get("host"), entry.get("namespace"), entry.get("repository"))
            if same in seen:
                self._warn((*path, key, index), "this registry is named twice in the list", "keep one")
            seen.append(same)

    def _registries(self, raw: Mapping[Any, Any], path: Keys) -> None:
        self._registry_list(raw, "extraRegistries", path)
        self._registry_list(raw, "overrideRegistries", path)
        if entries(raw, "extraRegistries") and entries(raw, "overrideRegistries"):
            self._error(
                (*path, "overrideRegistries"), "`extraRegistries` and `overrideRegistries` exclude each other",
                "keep the one that is meant: add to the inherited registries, or replace them", at_key=True,
            )  # fmt: skip

    def _image(self, raw: Mapping[Any, Any], path: Keys) -> None:
        self._known(raw, schema.ImagePart, path)
        self._registries(raw, path)
        self._option_list(raw, path)
        self._pattern_list(raw, path)
        self._unique_names(raw, "variants", path, "variant")
        self._unique_names(raw, "versions", path, "version")
        self._only_one(raw, "versions", "latest", path, lambda first: (
            f"only one version can be latest, and versions[{first}] is; both would push the tag `latest`"))  # fmt: skip
        self._only_one(raw, "variants", "primary", path, lambda first: (
            f"only one variant can be primary, and variants[{first}] is; both would push the same tags"))  # fmt: skip
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
                self._error(
                    (*path, "versions"), "`versions` and `matrix` exclude each other",
                    "move the plain versions to an image of their own", at_key=True,
                )  # fmt: skip
            if entries(raw, "dependencyConstraints"):
                self._warn(
                    (*path, "dependencyConstraints"), "an image with a matrix does not read this list",
                    "move it into `matrix`", at_key=True,
                )  # fmt: skip
        elif not entries(raw, "versions") and not entries(raw, "devVersions"):
            self._warn(path, "this image has no `versions`, `devVersions` or `matrix`: it gives no targets")

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
                self._warn(place, f"the system {entry.get('name')!r} is listed twice", "keep one")
                repeated.add(index)
            seen.append(same)
            name = entry.get("name")
            if isinstance(name, str) and name[:1].isdigit():
                self._warn((*place, "name"), f"{name!r} begins with a digit and names no known system")
        several = len(systems) - len(repeated) > 1
        marked = self._only_one(raw, "os", "primary", path, lambda first: (
            f"only one system can be primary, and os[{first}] is"), skipped=repeated)  # fmt: skip
        if several and not marked and len(seen) == len(systems):
            self._warn((*path, "os"), "no system is primary: no tag without a system's name is pushed",
                       "write `primary: true` at one of them", at_key=True)  # fmt: skip

    def _pinned_list(self, raw: Mapping[Any, Any], path: Keys) -> dict[str, int]:
        seen: dict[str, int] = {}
        for index, entry in mappings(raw, "dependencies"):
            place = (*path, "dependencies", index)
            name = entry.get("dependency")
            self._once(seen, name, index, place, "dependencies")
            self._no_prerelease(entry, name, place)
            given = [key for key in ("version", "versions") if key in entry]
            if len(given) == 2:
                self._error(
                    (*place, "versions"), "`version` and `versions` exclude each other", "keep one", at_key=True
                )
            elif not given:
                self._error(place, "`version` or `versions` is missing")
            elif name == "quarto":
                value = entry[given[0]]
                parts = value.split(",") if isinstance(value, str) else value
                if isinstance(parts, list) and len(parts) > 1:
                    self._error((*place, given[0]), "quarto takes one version only")
        return seen

    def _once(self, seen: dict[str, int], name: Any, index: int, place: Keys, key: str) -> None:
        if not isinstance(name, str):
            return
        if name in seen:
            self._error(
                (*place, "dependency"), f"{name} is already in {key}[{seen[name]}]", "put its versions together"
            )
        else:
            seen[name] = index

    def _no_prerelease(self, entry: Mapping[Any, Any], name: Any, place: Keys) -> None:
        if "prerelease" in entry and name in ("python", "R"):
            self._error((*place, "prerelease"), f"{name} has no `prerelease`; quarto and positron have", at_key=True)

    def _constraint_list(self, raw: Mapping[Any, Any], path: Keys) -> dict[str, int]:
        seen: dict[str, int] = {}
        for index, entry in mappings(raw, "dependencyConstraints"):
            place = (*path, "dependencyConstraints", index)
            name = entry.get("dependency")
            self._once(seen, name, index, place, "dependencyConstraints")
            self._no_prerelease(entry, name, place)
            if isinstance(entry.get("constraint"), dict):
                self._constraint(entry["constraint"], name, (*place, "constraint"))
        return seen

    def _constraint(self, raw: Mapping[Any, Any], dependency: Any, path: Keys) -> None:
        self._known(raw, schema.ConstraintPart, path)
        given = {key for key in ("latest", "count", "max", "min") if raw.get(key) is not None}
        latest = is_true(raw.get("latest"))
        if not given & {"latest", "max"}:
            self._error(path, "`latest` or `max` is needed")
        elif {"latest", "max"} <= given:
            self._error((*path, "max"), "`latest` and `max` exclude each other", "keep one", at_key=True)
        elif "latest" in given and not latest:
            self._error((*path, "latest"), "`latest: false` says nothing", "write `latest: true`, or `max`")
        if "count" in given and "min" in given and given & {"latest", "max"}:
            other = "latest" if "latest" in given else "max"
            self._error((*path, "count"), f"`count` cannot stand beside `{other}` and `min`", "drop `count` or `min`",
                        at_key=True)  # fmt: skip
        for key in given & {"min", "max"}:
            if isinstance(raw[key], str) and not _VERSION.match(raw[key]):
                self._error((*path, key), f"{raw[key]!r} is no version to compare with; write it like 4.5 or 4.5.1")
        if {"min", "max"} <= given and _above(raw["min"], raw["max"]):
            self._error((*path, "min"), f"`min` {raw['min']} is above `max` {raw['max']}", "exchange them")
        if dependency == "quarto":
            count = raw.get("count")
            if isinstance(count, int) and count > 1:
                self._error((*path, "count"), "quarto takes one version only", "write `count: 1`")
            elif given == {"max"}:
                self._error(path, "quarto takes one version only, and `max` alone means every line below it",
                            "add `count: 1`")  # fmt: skip

    def _matrix(self, raw: Mapping[Any, Any], path: Keys) -> None:
        self._known(raw, schema.MatrixPart, path)
        self._registries(raw, path)
        self._systems(raw, path)
        pinned = self._pinned_list(raw, path)
        constrained = self._constraint_list(raw, path)
        for name in pinned.keys() & constrained.keys():
            self._error(
                (*path, "dependencyConstraints", constrained[name], "dependency"),
                f"{name} is also in dependencies[{pinned[name]}]", "keep it in one of the two lists",
            )  # fmt: skip
        values = raw.get("values")
        empty = not pinned and not constrained and (values is None or values == {})
        if empty and not entries(raw, "dependencies") and not entries(raw, "dependencyConstraints"):
            self._error(path, "a matrix needs `dependencies`, `dependencyConstraints` or `values`", at_key=True)
        for key, value in values.items() if isinstance(values, dict) else ():
            if value == []:
                self._error((*path, "values", key), "an axis without items gives no versions", "list at least one text")

    def _dev_version(self, raw: Mapping[Any, Any], path: Keys) -> None:
        kind = raw.get("sourceType")
        if kind not in ("channel", "stream", "dependency"):
            return  # told by the schema
        self._known(raw, schema.NewestPart if kind == "dependency" else schema.ChannelPart, path)
        if kind == "stream":
            self._warn((*path, "sourceType"), "`sourceType: stream` is the old spelling", "write `sourceType: channel`")
        if kind != "dependency":
            if "stream" in raw:
                self._warn((*path, "stream"), "`stream` is the old name of this key", "write `channel`", at_key=True)
            if "stream" in raw and "channel" in raw:
                self._error((*path, "stream"), "`channel` and `stream` are one field", "keep `channel`", at_key=True)
            elif raw.get("stream") is None and raw.get("channel") is None:
                self._error((*path, "channel"), f"`channel` is missing; allowed: {listing(schema.CHANNELS)}")
        self._registries(raw, path)
        if not entries(raw, "os") and ("os" not in raw or raw["os"] == []):
            self._warn(path, "a development version without `os` is skipped", "add the systems it is built on")
        else:
            self._systems(raw, path)

    def _pattern_list(self, raw: Mapping[Any, Any], path: Keys) -> None:
        for index, entry in mappings(raw, "tagPatterns"):
            self._known(entry, schema.TagPatternPart, (*path, "tagPatterns", index))

    def _option_list(self, raw: Mapping[Any, Any], path: Keys) -> None:
        seen: dict[str, int] = {}
        for index, entry in mappings(raw, "options"):
            tool = entry.get("tool")
            place = (*path, "options", index)
            if not isinstance(tool, str) or tool not in self._options:
                continue  # told where the entry is read
            if tool in seen:
                self._error(
                    (*place, "tool"), f"{tool!r} is already in options[{seen[tool]}]", "put their fields together"
                )
            seen.setdefault(tool, index)
            self._known(entry, self._options[tool].keys, place)


def _system_key(entry: Mapping[Any, Any]) -> tuple[Any, Any, Any]:
    """What two entries of one system have in common: the name and both spellings of it, defaults filled in."""
    name = entry.get("name")
    spelled = name if isinstance(name, str) else ""
    extension = entry.get("extension") or default_extension(spelled)
    return name, extension, entry.get("tagDisplayName") or default_tag_name(spelled)


def _person_key(value: Any) -> Any:
    try:
        found = person(value)
    except WrongValue:
        return repr(value)
    return str(found)


def _above(low: Any, high: Any) -> bool:
    """Whether `low` is above `high`, compared as far as `high` is written: 4.5 is not above 4."""
    bounds = [[int(part) for part in _NUMBERS.findall(str(text))] for text in (low, high)]
    precision = len(bounds[1])
    return bounds[0][:precision] > bounds[1] if all(bounds) else False
