"""Checks every document and journal that a test makes Bakery write against the published schemas.

`conftest.py` wraps what writes them in this process, and looks through the temporary folder for those of child
processes. Members that a schema does not name are refused here, so that only published members are written.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema

from bakery.events import FORMAT as JOURNAL_FORMAT
from bakery.publish import journal
from bakery.report import records
from bakery.report.schemas import FORMATS

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"
OF_FORMAT = {name: SCHEMAS / f"{one.name}-{one.number}.schema.json" for name, one in FORMATS.items()}
OF_RECORD = {one.record: OF_FORMAT[name] for name, one in FORMATS.items()}
SUMMARY = OF_FORMAT["summary"]
# The member that only documents of one format have.
TOLD_BY = {
    "build_targets": "summary", "survey": "plan", "checks": "doctor", "references": "verify", "tags": "rollback",
    "repositories": "clean", "images": "images", "deliveries": "before-commit",
}  # fmt: skip
JOURNAL = SCHEMAS / f"journal-{JOURNAL_FORMAT}.schema.json"
HEAD = '{\n  "format": '
_LARGEST = 8 * 1024 * 1024  # bytes of a file that is looked into


@cache
def published(file: Path) -> dict[str, Any]:
    """A schema as it is published."""
    schema: dict[str, Any] = json.loads(file.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


@cache
def strict(file: Path) -> jsonschema.Draft202012Validator:
    """A validator that refuses members without a schema."""
    schema = published(file)
    top = {"additionalProperties": False} if "properties" in schema else {}
    return _validator(schema | {"$defs": _strict_parts(schema)} | top)


def _strict_parts(schema: dict[str, Any]) -> dict[str, Any]:
    parts: dict[str, Any] = schema["$defs"]
    return {name: part | {"additionalProperties": False} for name, part in parts.items()}


def _validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


@cache
def kind_of_line(event: str) -> jsonschema.Draft202012Validator:
    """A validator of one kind of line of a journal, whose message is shorter than that of any kind."""
    return _validator({"$ref": f"#/$defs/{event}", "$defs": _strict_parts(published(JOURNAL))})


def check_document(document: dict[str, Any]) -> None:
    """Raise ValidationError for a document that is not as published."""
    names = [name for member, name in TOLD_BY.items() if member in document]
    assert len(names) == 1, f"a document without a published format: {list(document)}"
    name = "build" if document.get("kind") == "build" else names[0]
    strict(OF_FORMAT[name]).validate(document)


def check_line(line: str) -> None:
    """Raise ValidationError for a line of a journal that is not as published."""
    fields = json.loads(line)
    kind_of_line(fields["event"]).validate(fields)


@contextmanager
def checking() -> Iterator[None]:
    """Check what this process writes, and what the processes print that it starts and waits for."""
    record_object, line_of = records._object, journal.line_of

    def checked_object(record):
        made = record_object(record)
        if (schema := OF_RECORD.get(type(record))) is not None:
            strict(schema).validate(json.loads(json.dumps(made)))
        return made

    def checked_line(event, when):
        line = line_of(event, when)
        check_line(line)
        return line

    run = subprocess.run

    def checked_run(*args, **options):
        done = run(*args, **options)
        if done.stdout:
            check_text(done.stdout if isinstance(done.stdout, str) else done.stdout.decode(errors="replace"))
        return done

    with (
        mock.patch.object(subprocess, "run", checked_run),
        mock.patch.object(records, "_object", checked_object),
        mock.patch.object(journal, "line_of", checked_line),
    ):
        yield


def check_text(text: str) -> None:
    """Check what a process printed, if it is a document with a format. Anything else is left alone."""
    if not text.startswith(HEAD):
        return
    try:
        document = json.loads(text)
    except ValueError:
        return  # it was cut off, or more follows
    check_document(document)


def check_files(folder: Path) -> None:
    """Check the summaries and journals in a folder and the folders in it."""
    for file in (*folder.glob("*"), *folder.glob("*/*")):
        if not file.is_file() or file.stat().st_size > _LARGEST:
            continue
        with file.open("rb") as stream:
            head = stream.read(32)
            if head.startswith(b'{"time": ') and b"\n" in (rest := stream.read()):
                for line in (head + rest).decode().splitlines():
                    check_line(line)
            elif head.startswith(HEAD.encode()):
                check_text((head + stream.read()).decode(errors="replace"))
