"""The reference, made from the code: commands, keys of bakery.yaml, variables, exit codes, formats, events."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args

import click
import msgspec

from website.examples import EXAMPLES, INHERITED, OF_OPTIONS, OPTIONS
from website.variables import VARIABLES

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
_EXIT_CODES: Final = {
    "DONE": "everything is done, or there was nothing to do",
    "FAILED": "a target failed, or nothing was selected",
    "USAGE": "the command line is wrong, or a file that an option names (such as `--attach`) cannot be used",
    "CONFIGURATION": "what the command works on does not exist or cannot be used: bakery.yaml, a build metadata file, "
    "a bake file, an image layout, the summary or journal of a run (for `ci summary`: 1)",
    "AUTHENTICATION": "every failure is a missing or refused login",
    "HUNG_UP": "ended by SIGHUP",
    "INTERRUPTED": "ended by SIGINT (Ctrl-C)",
    "QUIT": "ended by SIGQUIT",
    "TERMINATED": "ended by SIGTERM",
}


def pages() -> Mapping[str, str]:
    """Return every page of the reference by its file name."""
    return {
        "commands.md": _commands(),
        "bakery-yaml.md": _keys(),
        "environment.md": _environment(),
        "exit-codes.md": _exit_codes(),
        "formats.md": _formats(),
        "events.md": _events(),
    }


def commands(name: str, command: click.Command, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """Yield every command that help lists, and its help."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100)
    yield context.command_path, context.get_help()
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None and not found.hidden and not (found.help or "").startswith("Old name"):
                yield from commands(inner, found, context)


def _commands() -> str:
    from bakery.cli.main import app

    parts = ["# Commands\n\nThe help of every command: what `bakery COMMAND --help` prints."]
    for path, text in commands("bakery", app):
        parts.append(f"## {path}\n\n```text\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def _keys() -> str:
    from bakery.config.schema.json_schema import project_schema

    schema = project_schema()
    parts = [
        "# Keys of bakery.yaml\n\nEvery key with its type and default. [configuration.md](../configuration.md) says "
        "how they become targets and tags. A key without a default is required."
    ]
    tables = {"The file": schema, **schema["$defs"]}
    for name, part in tables.items():
        title = _part(name)
        lines = [
            f"## {title}",
            part.get("description", ""),
            "| key | type | default | inherited | |\n|---|---|---|---|---|",
        ]
        required = part.get("required", ())
        for key, value in part["properties"].items():
            default = "required" if key in required else f"`{json.dumps(value.get('default'))}`"
            inherited = INHERITED.get((name, key)) or (OF_OPTIONS if name in OPTIONS and key != "tool" else "no")
            lines[-1] += f"\n| `{key}` | {_type(value)} | {default} | {inherited} | {_cell(_meaning(value, schema))} |"
        lines.append(f"```yaml\n{EXAMPLES[name].strip()}\n```")
        parts.append("\n\n".join(line for line in lines if line))
    return "\n\n".join(parts) + "\n"


def _meaning(value: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return what is said of a key, or else the first sentence about what it consists of."""
    if value.get("description"):
        return str(value["description"])
    if "const" in value:
        return "Says what the entry is."
    value = next((one for one in value.get("anyOf", ()) if "$ref" in one), value)
    reference = value.get("$ref") or value.get("items", {}).get("$ref") or ""
    defined = schema["$defs"].get(reference.rpartition("/")[2], {})
    return str(defined.get("description", "")).partition(". ")[0]


def _part(name: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("Part"))
    return words[:1] + words[1:].lower()


def _type(value: Mapping[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{_part(name)}](#{_part(name).lower().replace(' ', '-')})"
    kinds = {one.get("type") for one in value.get("anyOf", ())}
    for plain in ("boolean", "integer"):  # texts such as `yes` and "5" are read, too: configuration.md
        if kinds - {"null"} >= {plain, "string"}:
            return plain
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_type(one) for one in value["anyOf"] if one.get("type") != "null"))
    if "oneOf" in value:
        return " or ".join(_type(one) for one in value["oneOf"])
    if "enum" in value:
        return " or ".join(f"`{json.dumps(one)}`" for one in value["enum"])
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if value.get("type") == "array":
        return f"list of {_type(value.get('items', {}))}"
    if value.get("type") == "object":
        return f"mapping of {_type(value['additionalProperties'])}" if value.get("additionalProperties") else "mapping"
    return str(value.get("type", "any"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _environment() -> str:
    rows = "".join(f"\n| `{name}` | {_cell(meaning)} |" for name, meaning in sorted(VARIABLES.items()))
    return (
        "# Environment\n\nAn option of the same meaning wins over its variable. Docker's and Podman's own variables, "
        "and those of proxies, are in [registries.md](../registries.md).\n\n| variable | meaning |\n|---|---|"
        + rows
        + "\n"
    )


def _exit_codes() -> str:
    from bakery.errors import ExitCode

    rows = "".join(f"\n| {code.value} | {_EXIT_CODES[code.name]} |" for code in ExitCode)
    return (
        "# Exit codes\n\n| code | when |\n|---|---|"
        + rows
        + "\n\nThe code of an error, such as `registry/quota`, says more: "
        "[errors](../errors/README.md), `bakery explain CODE`.\n"
    )


def _formats() -> str:
    parts = [
        "# Formats\n\nWhat Bakery writes for programs. Each format has a number, and one that was released never "
        "changes; a reader should ignore members that it does not know."
    ]
    for file in sorted((DOCS / "schemas").glob("*.schema.json")):
        schema = json.loads(file.read_text("utf-8"))
        if file.name.startswith("bakery."):
            continue
        parts.append(
            f"## {schema['title']}\n\n{schema.get('description', '')}\n\nSchema: [{file.name}](../schemas/{file.name})"
        )
        for name, part in ((schema["title"], schema), *schema.get("$defs", {}).items()):
            if "properties" in part:
                head = (
                    ""
                    if part is schema
                    else f"### {name} ({file.name.split('.')[0]})\n\n{part.get('description', '')}\n\n"
                )
                rows = "".join(
                    f"\n| `{key}` | {_shape(value)} | {_cell(value.get('description', ''))} |"
                    for key, value in part["properties"].items()
                )
                parts.append(f"{head}| member | type | |\n|---|---|---|{rows}")
    return "\n\n".join(parts) + "\n"


def _shape(value: Mapping[str, Any]) -> str:
    if "$ref" in value:
        return f"`{value['$ref'].rpartition('/')[2]}`"
    kinds = {one.get("type") for one in value.get("anyOf", ())}
    for plain in ("boolean", "integer"):  # texts such as `yes` and "5" are read, too: configuration.md
        if kinds - {"null"} >= {plain, "string"}:
            return plain
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_shape(one) for one in value["anyOf"]))
    if value.get("type") == "array":
        return f"list of {_shape(value.get('items', {}))}"
    return _cell(_type(value)) if "type" in value or "enum" in value or "const" in value else "any"


def _events() -> str:
    from bakery import events

    parts = [
        "# Events\n\nThe records of a run, as `emit` of the [Python API](../api.md) receives them and the journal "
        "keeps them, one JSON line each: `time`, `event` (the name), and the fields."
    ]
    for kind in get_args(events.Event):
        rows = "".join(f"\n| `{one.name}` | `{_annotation(one.type)}` |" for one in msgspec.structs.fields(kind))
        text = " ".join((kind.__doc__ or "").split())
        parts.append(f"## {kind.__name__}\n\n{text}" + (f"\n\n| field | type |\n|---|---|{rows}" if rows else ""))
    return "\n\n".join(parts) + "\n"


def _annotation(kind: object) -> str:
    text = kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
    return re.sub(r"\b[\w.]+\.(\w+)", r"\1", text).replace("|", "\\|")
