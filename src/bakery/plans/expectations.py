"""What must be published: by the JSON summary of a run, by a project, or by references. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from bakery.errors import BadDocument
from bakery.oci.digest import Digest
from bakery.oci.platform import Platform
from bakery.oci.reference import Repository, parse_reference
from bakery.publish.audited import Expected
from bakery.publish.outcome import ArtifactOutcome

if TYPE_CHECKING:
    from bakery.targets.target import Target

_THERE: Final = ("published", "unchanged")  # states of a tag that names the digest of its target


def expected_of_summary(summary: Mapping[str, Any], *, about: object = "") -> tuple[Expected, ...]:
    """Return what a run left: its tags, each with its digest, platforms and signatures. Raises BadDocument."""
    expected = []
    for target in _objects(summary, "targets", about):
        platforms = target.get("platforms")
        if not isinstance(platforms, list):
            platforms = []  # a number, in summaries of the tool that Bakery replaces
        if "destinations" not in target:
            raise BadDocument("cannot use", about=about, why="it does not record what was published where")
        for place in _objects(target, "destinations", about):
            artifacts = _artifacts(place, about)
            for tag in _objects(place, "tags", about):
                if tag.get("state") not in _THERE:
                    continue
                reference = parse_reference(f"{place.get('repository')}:{tag.get('tag')}")
                digest, names = Digest.parse(target.get("digest")), tuple(str(name) for name in platforms if name)
                for name in names:
                    Platform.parse(name)
                group = f"{target.get('uid')}:{tag.get('tag')}"
                expected.append(Expected(reference, digest, names, group, artifacts))
    return tuple(expected)


def expected_of_targets(targets: Iterable[Target]) -> tuple[Expected, ...]:
    """Return what a project declares: every tag at every registry, with the same digest and the declared platforms."""
    return tuple(
        Expected(Repository.parse(name).with_tag(tag), None, target.platforms, f"{target.uid}:{tag}")
        for target in targets
        for name, tags in target.destinations
        for tag in tags
    )


def expected_of_references(texts: Sequence[str]) -> tuple[Expected, ...]:
    """Return what references name. Raises BadReference."""
    return tuple(Expected(parse_reference(text)) for text in texts)


def _artifacts(place: Mapping[str, Any], about: object) -> tuple[ArtifactOutcome, ...]:
    """Return what belongs to an image at a destination; nothing, if the summary is older than that."""
    listed = _objects(place, "artifacts", about) if "artifacts" in place else []
    return tuple(
        ArtifactOutcome(
            Digest.parse(one.get("subject")),
            str(one.get("kind")),
            None if one.get("digest") is None else Digest.parse(one.get("digest")),
        )
        for one in listed
    )


def _objects(document: Mapping[str, Any], key: str, about: object) -> list[Mapping[str, Any]]:
    found = document.get(key)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BadDocument("cannot use", about=about, why=f"{key} must be a list of objects")
    return found
