"""What programs want to know of a publish: for each image its digest, tags and platforms. Pure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bakery.publish.outcome import Outcome, State, TargetOutcome
from bakery.report.documents import ImageRecord, ImagesDocument
from bakery.report.records import members

_THERE = (State.PUBLISHED, State.UNCHANGED)


def images_json(outcome: Outcome) -> dict[str, Any]:
    """Return one object per target. tags: full references of what was read back with this digest."""
    return members(ImagesDocument(images=tuple(_image(target) for target in outcome.targets)))


def github_output(outcome: Outcome, summary: Path) -> str:
    """Return the lines for $GITHUB_OUTPUT: `images` and `summary`; for one target also `image`, `digest` and `tags`.

    `tags` has one reference a line, as docker/metadata-action has it.
    """
    images = images_json(outcome)["images"]
    lines = [f"images={json.dumps(images)}", f"summary={summary}"]
    if len(images) == 1:
        (image,) = images
        lines += [f"image={image['image'] or ''}", f"digest={image['digest'] or ''}"]
        lines += ["tags<<END_OF_TAGS", *image["tags"], "END_OF_TAGS"]  # no reference is upper case
    return "".join(f"{line}\n" for line in lines)


def _image(target: TargetOutcome) -> ImageRecord:
    there = [(place, tag) for place in target.destinations for tag in place.tags if tag.state in _THERE]
    repositories = [str(place.repository) for place in target.destinations]
    return ImageRecord(
        uid=target.uid,
        image=repositories[0] if repositories else None,
        state=target.state,
        digest=str(target.digest) if target.digest else None,
        tags=tuple(f"{place.repository}:{tag.tag}" for place, tag in there),
        platforms=tuple(item.platform for item in target.platforms),
    )
