"""Where an image goes: `REPOSITORY[:TAG[,TAG…]]`, or the tags that docker/metadata-action left. Pure.

Source: commands.md 9; https://github.com/docker/metadata-action, "outputs" and "DOCKER_METADATA_OUTPUT_JSON".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from bakery.errors import BadReference, InvalidContent, MetadataError, UsageError
from bakery.oci.reference import Repository, TagReference
from bakery.publish.plan import Destination, destinations
from bakery.text import json_problem

OUTPUT_JSON: Final = "DOCKER_METADATA_OUTPUT_JSON"
OUTPUT_TAGS: Final = "DOCKER_METADATA_OUTPUT_TAGS"
OUTPUT_ANNOTATIONS: Final = "DOCKER_METADATA_OUTPUT_ANNOTATIONS"


def parse_destinations(texts: Iterable[str], *, option: str = "--tag") -> tuple[Destination, ...]:
    """Return the repositories that `REPOSITORY[:TAG[,TAG…]]` name, each once, with all their tags.

    A repository without a tag is published by digest only. Raises UsageError, naming the option.
    """
    try:
        return destinations(_parsed(text) for text in texts)
    except InvalidContent as error:
        raise UsageError(f"invalid value for {option}", about=error.about, why=error.why) from error


def _parsed(text: str) -> tuple[Repository, tuple[str, ...]]:
    if "@" in text:
        raise BadReference("invalid reference", about=repr(text), why="a destination has no digest")
    name, colon, tags = text.strip().rpartition(":")
    if not colon or "/" in tags:
        return Repository.parse(text.strip()), ()
    repository = Repository.parse(name)
    return repository, tuple(TagReference(repository, tag.strip()).tag for tag in tags.split(","))


class MetadataAction(Struct, frozen=True):
    """What docker/metadata-action left in the environment. source: the variable."""

    source: str
    tags: tuple[str, ...]
    annotations: tuple[str, ...] = ()


def read_metadata_action(environment: Mapping[str, str]) -> MetadataAction | None:
    """Return the tags and annotations of docker/metadata-action; None if it has not run, or found no tag.

    Raises MetadataError if the variable is not what the action sets.
    """
    text = environment.get(OUTPUT_JSON, "").strip()
    if text:
        found = _json(text)
        if found.tags:
            return found
    tags = _lines(environment.get(OUTPUT_TAGS, "").replace(",", "\n"))
    if not tags:
        return None
    return MetadataAction(OUTPUT_TAGS, tags, _lines(environment.get(OUTPUT_ANNOTATIONS, "")))


def _json(text: str) -> MetadataAction:
    try:
        document = json.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        raise _unreadable("it is nested too deeply") from None
    except ValueError as error:
        raise _unreadable(json_problem(error)) from None
    if not isinstance(document, dict):
        raise _unreadable("expected an object")

    def texts(key: str) -> tuple[str, ...]:
        found = document.get(key) or []
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise _unreadable(f"expected a list of strings for `{key}`")
        return tuple(found)

    return MetadataAction(OUTPUT_JSON, texts("tags"), texts("annotations"))


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _unreadable(why: str) -> MetadataError:
    return MetadataError(
        "cannot read", about=OUTPUT_JSON, why=why, hint="set it with docker/metadata-action, or pass --tag"
    )
