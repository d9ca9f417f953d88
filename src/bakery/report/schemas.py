"""The JSON Schemas of what commands write for programs: summaries, other documents, lines of the journal. Pure.

`docs/schemas` has them, one file per format number; a format that was released never changes. They say what we write:
a reader should ignore members that it does not know, since a later format may add some.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import cleandoc
from typing import Any, Final, get_args

import msgspec
from msgspec import Struct

from bakery.events import FORMAT as JOURNAL_FORMAT
from bakery.events import Event, RunStarted
from bakery.report import documents
from bakery.report.build_format import BuildSummary
from bakery.report.summary_format import FORMAT as SUMMARY_FORMAT
from bakery.report.summary_format import Summary

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


class Format(Struct, frozen=True):
    """The format of a document, in docs/schemas/<name>-<number>.schema.json."""

    name: str
    number: int
    record: type[Struct]
    title: str


FORMATS: Final[Mapping[str, Format]] = {
    "summary": Format("summary", SUMMARY_FORMAT, Summary, "Summary of a publish by Bakery"),
    "build": Format("build-summary", SUMMARY_FORMAT, BuildSummary, "Summary of a build by Bakery"),
    "images": Format("images", documents.IMAGES_FORMAT, documents.ImagesDocument, "Images published by Bakery"),
    "plan": Format("plan", documents.PLAN_FORMAT, documents.PlanDocument, "Dry run of a publish by Bakery"),
    "doctor": Format("doctor", documents.DOCTOR_FORMAT, documents.DoctorDocument, "Checks by bakery doctor"),
    "verify": Format(
        "verify", documents.VERIFY_FORMAT, documents.VerifyDocument, "References checked by bakery verify"
    ),
    "rollback": Format("rollback", documents.ROLLBACK_FORMAT, documents.RollbackDocument, "Rollback by Bakery"),
    "before-commit": Format(
        "before-commit", documents.DELIVERIES_FORMAT, documents.DeliveriesDocument, "Deliveries of a Bakery run"
    ),
    "clean": Format("clean", documents.CLEAN_FORMAT, documents.CleanDocument, "Clean-up by Bakery"),
}


def document_schema(name: str) -> dict[str, Any]:
    """Return the schema of a document, by its name in FORMATS."""
    one = FORMATS[name]
    return _of(one.record, one.number, one.title)


def _of(kind: type[Struct], number: int, title: str) -> dict[str, Any]:
    (reference,), defined = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    top = _required(defined.pop(reference["$ref"].rpartition("/")[2]))
    top["properties"]["format"] = {"const": number}
    return {
        "$schema": _DRAFT,
        **top,
        "title": title,
        "$defs": {name: _required(part) if "properties" in part else part for name, part in sorted(defined.items())},
    }


def journal_schema() -> dict[str, Any]:
    """Return the schema of one line of a journal."""
    kinds = get_args(Event)
    _, defined = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    parts = {name: _required(part) for name, part in sorted(defined.items())}
    for kind in kinds:
        part = parts[kind.__name__]
        head: dict[str, Any] = {"time": {"type": "string", "format": "date-time"}, "event": {"const": kind.__name__}}
        if kind is RunStarted:
            head["format"] = {"const": JOURNAL_FORMAT}
        part["properties"] = head | part["properties"]
        part["required"] = [*head, *part["required"]]
    return {
        "$schema": _DRAFT,
        "title": "Line of the journal of a Bakery run",
        "description": "Written as the run proceeds. Each run begins with RunStarted; several runs may be in one file.",
        "oneOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in kinds],
        "$defs": parts,
    }


def _required(part: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that we write: with every member, since none is left out."""
    properties = {name: {key: one[key] for key in one if key != "default"} for name, one in part["properties"].items()}
    return part | {
        "description": cleandoc(part["description"]),
        "properties": properties,
        "required": list(properties),
    }
