"""Annotations as buildx writes them: `[LEVEL[,LEVEL…][PLATFORM]:]KEY=VALUE`. Pure.

A level is index, index-descriptor, manifest or manifest-descriptor; the last two may name a platform in brackets.
Source: https://docs.docker.com/build/metadata/annotations/; commands.md 9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct, field

from bakery.errors import BadDocument, InvalidContent, UsageError
from bakery.oci.platform import Platform

_LEVEL: Final = r"(?:manifest-descriptor|index-descriptor|manifest|index)(?:\[[^\]]*\])?"
_ANNOTATION: Final = re.compile(rf"(?:({_LEVEL}(?:,{_LEVEL})*):)?([^=]+)=(.*)", re.DOTALL)


class Annotations(Struct, frozen=True):
    """Annotations by where they go.

    entries: of the index's entries of images, by platform; "" is all of them. index_descriptor: of the descriptor of
    the index itself, which only a metadata file holds.
    """

    index: Mapping[str, str] = field(default_factory=dict)
    entries: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    index_descriptor: Mapping[str, str] = field(default_factory=dict)


def given_annotations(texts: Iterable[str]) -> Annotations:
    """Return the annotations of `--annotation`. One without a level goes into the index.

    Raises UsageError for the level `manifest`: the manifests of the images exist, and keep their digest.
    """
    index, entries, descriptor = dict[str, str](), dict[str, dict[str, str]](), dict[str, str]()
    for text in texts:
        try:
            levels, key, value = _parse(text)
        except InvalidContent as error:
            raise UsageError("invalid value for --annotation", about=error.about, why=error.why) from error
        for level, platform in levels or (("index", ""),):
            if level == "manifest":
                raise UsageError(
                    "invalid value for --annotation",
                    about=repr(text),
                    why="the manifests of the images exist already, and annotating them would change their digests",
                    hint="annotate the manifests when they are built, or use index: or manifest-descriptor: here",
                )
            if level == "index":
                index[key] = value
            elif level == "index-descriptor":
                descriptor[key] = value
            else:
                entries.setdefault(platform, {})[key] = value
    return Annotations(index, entries, descriptor)


def annotations_of_build(texts: Iterable[str]) -> Annotations:
    """Return the annotations of metadata-action or a bake target, for the index of builds that were made with them.

    Those for manifests go into the index too: the images got theirs when they were built. One that is written for the
    index wins. One for the manifest of a single platform is left out. Raises BadDocument for one that is malformed.
    """
    index, for_manifests, entries = dict[str, str](), dict[str, str](), dict[str, dict[str, str]]()
    for text in texts:
        levels, key, value = _parse(text)
        for level, platform in levels or (("manifest", ""),):
            if level == "index":
                index[key] = value
            elif level == "manifest" and not platform:
                for_manifests[key] = value
            elif level == "manifest-descriptor":
                entries.setdefault(platform, {})[key] = value
    return Annotations({**for_manifests, **index}, entries)


def _parse(text: str) -> tuple[list[tuple[str, str]], str, str]:
    match = _ANNOTATION.fullmatch(text)
    if match is None:
        raise BadDocument("invalid annotation", about=repr(text[:200]), why="expected [LEVEL:]KEY=VALUE")
    prefix, key, value = match.groups()
    levels = []
    for level, platform in re.findall(r"([a-z-]+)(?:\[([^\]]*)\])?", prefix or ""):
        if platform:
            Platform.parse(platform)
            if level.startswith("index"):
                why = "an index has no platform"
                raise BadDocument("invalid annotation", about=repr(text[:200]), why=why)
        levels.append((level, platform))
    return levels, key.strip(), value
