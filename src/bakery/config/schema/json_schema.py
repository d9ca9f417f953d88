"""The JSON Schema of bakery.yaml, with the options of every tool.

It is for editors: it refuses unknown keys, for which loading only warns. Rules that compare values are not part of it.
"""

from __future__ import annotations

from bakery.config.schema.declarations import ProjectPart
from bakery.config.schema.definitions import Schema, definitions
from bakery.config.schema.options_registry import OptionsRegistry


def project_schema(options: OptionsRegistry | None = None) -> Schema:
    """Return the schema with the options of these tools, by default of the built-in ones."""
    defined = definitions(ProjectPart)
    entries = []
    for options_class in (options if options is not None else OptionsRegistry()).values():
        name, more = options_class.json_schema()
        defined |= more
        entries.append({"$ref": f"#/$defs/{name}"})
    for holder in ("ImagePart", "VariantPart"):
        defined[holder]["properties"]["options"]["items"] = {"oneOf": entries}
    top = defined.pop("ProjectPart")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bakery.yaml",
        "description": "A Bakery project: the container images to build and the registries to publish them to.",
        **{key: value for key, value in top.items() if key not in ("title", "description")},
        "$defs": dict(sorted(defined.items())),
    }
