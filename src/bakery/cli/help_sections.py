"""What a printed help has besides click's: options by purpose, examples of every command, and exit codes.

Imported when a help is printed, not at start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import click

SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "What": (
        "--context", "--image-name", "--image-version", "--image-variant", "--image-os", "--image-platform", "--latest",
        "--dev-versions", "--dev-channel", "--dev-spec", "--matrix-versions", "--shard", "--shards", "--allow-empty",
        "--base-ref", "--changed-files-from", "--exclude", "--platform", "--require-platform", "--digests", "--from",
        "--bake", "--target", "--file", "--metadata", "--append", "--layout", "--image", "--from-layout",
        "--older-than", "--untagged", "--keep-last", "--keep-tag", "--subpath",
    ),
    "Where": (
        "--tag", "--registry", "--temp-registry", "--cache-registry", "--to-layout", "--push", "--load", "--storage",
        "--port", "--url",
    ),
    "How": (),  # all others
    "How long": ("--jobs", "--wait-timeout", "--time-budget", "--retry", "--lag"),
    "Output": (
        "--dry-run", "--convert", "--plan", "--summary", "--summary-format", "--summary-file", "--output", "--journal",
        "--json", "--raw", "--metadata-file", "--progress", "--no-progress", "--timeline", "--trace", "--resolved",
        "--origin", "--disclaimer", "--log-format", "--quiet",
    ),
    "Network": (
        "--offline", "--ca-file", "--client-cert", "--client-key", "--plain-http", "--trusted-realm", "--api",
    ),
    "Debugging": ("--verbose", "--debug", "--help"),
}  # fmt: skip
_SECTION_OF: Final = {option: section for section, options in SECTIONS.items() for option in options}
OTHERS: Final = "How"

EXIT_CODES: Final = (
    "0 done; 1 something failed, or nothing was selected; 2 wrong usage; 3 a file to work on (bakery.yaml, metadata, a "
    "summary, a journal) cannot be used; 4 every failure is a missing or refused login; 130 or 143 interrupted."
)

_METADATA: Final = "metadata-*.json"
_CREATED: Final = "bakery imagetools create -t ghcr.io/acme/app:1.2.3,latest"
EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("bakery init", "bakery rehearse", f"bakery ci publish {_METADATA}", "bakery help ci publish"),
    "get": ("bakery get targets", "bakery get tags --latest"),
    "ci": ("bakery ci matrix --base-ref origin/main", f"bakery ci publish {_METADATA}"),
    "imagetools": ("bakery imagetools copy ghcr.io/acme/app:1.2.3 docker.io/acme/app:1.2.3,latest",),
    "oras": (f"bakery oras merge {_METADATA}",),
    "soci": ("bakery soci inspect ghcr.io/acme/app:1.2.3",),
    "clean": ("bakery clean temp-registry ghcr.io/acme --older-than 3 --dry-run",),
    "registry": ("bakery registry serve --port 5000",),
    "dgoss": (f"bakery dgoss run --metadata-file '{_METADATA}'",),
    "run": ("bakery run dgoss --image-name app",),
    "init": ("bakery init", "bakery init --registry ghcr.io/acme --image app --yes"),
    "create": ("bakery create project --registry ghcr.io/acme",),
    "create project": ("bakery create project --registry ghcr.io/acme",),
    "get tags": ("bakery get tags --image-name app", "bakery get tags --output uid --latest"),
    "get targets": ("bakery get targets", "bakery get targets --output json --image-platform arm64"),
    "get version": ("bakery get version app",),
    "get config": ("bakery get config --resolved --origin", "bakery get config --output json --image-name app"),
    "get schema": ("bakery get schema > bakery.schema.json",),
    "check": ("bakery check --strict",),
    "build": ("bakery build --image-name app --load", "bakery build --plan | docker buildx bake -f - --load"),
    "publish": (
        "# a project with a bakery.yaml",
        "bakery publish metadata-*.json",
        "# digests that runners left as files, tags from docker/metadata-action",
        "bakery publish --digests digests --from ghcr.io/acme/app",
        "# targets and tags of a bake file",
        "bakery publish --bake bake.json metadata-*.json",
        "# metadata files, layouts or digests as one image",
        "bakery publish -t ghcr.io/acme/app:1.2.3,latest metadata-*.json",
    ),
    "ci matrix": ("bakery ci matrix --base-ref origin/main", "bakery ci matrix '^app$' --exclude platform"),
    "ci publish": (
        f"bakery ci publish {_METADATA}",
        f"bakery ci publish --dry-run --strict {_METADATA}",
        f"bakery ci publish --image-name '^app$' --all-or-nothing run --journal run.jsonl {_METADATA}",
    ),
    "ci merge": (f"bakery ci merge {_METADATA}",),
    "ci summary": ("bakery ci summary summary-*.json --output page.md",),
    "ci timeline": ("bakery ci timeline release.jsonl --output timeline.html",),
    "imagetools create": (
        f"{_CREATED} ghcr.io/acme/app:1.2.3-amd64 ghcr.io/acme/app:1.2.3-arm64",
        f"{_CREATED} --dry-run oci-layout://build",
    ),
    "imagetools copy": ("bakery imagetools copy ghcr.io/acme/app:1.2.3 docker.io/acme/app:1.2.3,latest",),
    "imagetools tag": ("bakery imagetools tag ghcr.io/acme/app:1.2.3 1.2 1 latest",),
    "imagetools inspect": ("bakery imagetools inspect --output json ghcr.io/acme/app:1.2.3",),
    "imagetools publish": (f"bakery imagetools publish {_METADATA}",),
    "imagetools merge": (f"bakery imagetools merge {_METADATA}",),
    "imagetools soci-convert": (f"bakery imagetools soci-convert {_METADATA}",),
    "imagetools soci-inspect": ("bakery imagetools soci-inspect ghcr.io/acme/app:1.2.3",),
    "imagetools soci-verify": ("bakery imagetools soci-verify ghcr.io/acme/app:1.2.3",),
    "oras merge": (f"bakery oras merge {_METADATA}",),
    "soci convert": (
        f"bakery soci convert {_METADATA}",
        "bakery soci convert --from-layout build --to-layout converted.tar",
    ),
    "soci inspect": ("bakery soci inspect ghcr.io/acme/app:1.2.3", "bakery soci inspect --json converted.tar"),
    "soci verify": ("bakery soci verify ghcr.io/acme/app:1.2.3",),
    "clean temp-registry": ("bakery clean temp-registry ghcr.io/acme --older-than 3 --dry-run",),
    "clean cache-registry": ("bakery clean cache-registry ghcr.io/acme --older-than 14",),
    "clean repository": ("bakery clean repository ghcr.io/acme/app --untagged --older-than 30 --dry-run",),
    "rehearse": (
        "bakery rehearse",
        "bakery rehearse examples/hello --faults flaky --seed 7",
        "bakery rehearse --bake bake.json",
        "bakery rehearse -t ghcr.io/acme/app:1.2.3,latest --faults ghcr",
    ),
    "registry serve": ("bakery registry serve --port 5000", "bakery registry serve --faults ghcr"),
    "dgoss run": (f"bakery dgoss run --image-name app --metadata-file '{_METADATA}'",),
    "run dgoss": ("bakery run dgoss --image-name app",),
    "verify": ("bakery verify bakery-summary.json", "bakery verify ghcr.io/acme/app:1.2.3 --output json"),
    "rollback": ("bakery rollback bakery-summary.json", "bakery rollback --yes release.jsonl"),
    "doctor": ("bakery doctor", "bakery doctor ghcr.io/acme/app --output json"),
    "explain": ("bakery explain registry/quota", "bakery explain registry", "bakery explain"),
    "version": ("bakery version",),
    "help": ("bakery help ci publish",),
}


def in_sections(parameters: Iterable[click.Parameter], ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
    """Return the lines of the options, by section, in the order of SECTIONS. Sections without options are absent."""
    found: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS}
    for parameter in parameters:
        record = parameter.get_help_record(ctx)
        if record is not None and not isinstance(parameter, click.Argument):
            found[section_of(parameter)].append(record)
    return {section: records for section, records in found.items() if records}


def section_of(parameter: click.Parameter) -> str:
    """Return the section of an option, by its first long name."""
    names = [name for name in parameter.opts if name.startswith("--")]
    return _SECTION_OF.get(names[0] if names else "", OTHERS)


def examples(path: str) -> tuple[str, ...]:
    """Return the examples of a command: path is its words, with or without `bakery`."""
    from bakery.cli.main import COMMANDS

    first, _, rest = path.removeprefix("bakery").strip().partition(" ")
    place = next((entry.place for entry in COMMANDS if entry.name == first), first)
    names = [first, *(entry.name for entry in COMMANDS if entry.place == place)]  # an alias has those of its command
    return next((found for name in names if (found := EXAMPLES.get(f"{name} {rest}".strip()))), ())
