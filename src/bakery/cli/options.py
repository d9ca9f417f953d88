"""Options that several commands share, each declared once.

`into` turns options into one value, so that no command repeats their names.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from bakery.cli import completing
from bakery.cli.general import CommandFunction, Declared
from bakery.defaults import TIME_BUDGET_S, WAIT_TIMEOUT_S
from bakery.errors import UsageError
from bakery.values import Overlaid

if TYPE_CHECKING:
    from msgspec import Struct

S = TypeVar("S", bound="Struct")


def into(parameter: str, struct: str, *declared: Declared) -> Declared:
    """Declare options that a command receives as one value: `parameter`, a struct whose fields are named like them.

    struct: "module:Class", imported when the command runs.
    """

    def decorate(function: CommandFunction) -> CommandFunction:
        @wraps(function)
        def command(**given: Any) -> None:
            value = gather(load(struct), given)
            rest = {name: one for name, one in given.items() if name not in value.__struct_fields__}
            function(**{parameter: value}, **rest)

        return declare(command, declared)

    return decorate


def declare(function: CommandFunction, declared: Sequence[Declared]) -> CommandFunction:
    """Add options to a command; help lists them in this order."""
    for option in reversed(declared):
        function = option(function)
    return function


def declaring(*declared: Declared) -> Declared:
    """Return a decorator that adds options to a command."""
    return lambda function: declare(function, declared)


def gather(struct: type[S], given: Mapping[str, Any]) -> S:
    """Return a struct made from the values that are named like its fields."""
    return struct(**{name: given[name] for name in struct.__struct_fields__ if name in given})


def load(place: str) -> Any:
    """Import "module:attribute"."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


class Seconds(click.types.FloatParamType):
    """A non-negative number of seconds. `inf` is allowed, `nan` is not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = float("nan")
        if not seconds >= 0:
            self.fail(f"{value!r} is not a non-negative number of seconds", param, ctx)
        return seconds


# What is published

context = click.option(
    "--context", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path(),
    show_default="current directory", help="Folder with bakery.yaml.",
)  # fmt: skip
# Names of files, or text that may be one: the shell completes it, the command checks it.
FILES: Final = click.Path(readable=False)
metadata = click.argument(
    "metadata", metavar="METADATA...", type=FILES, nargs=-1, required=True,
    help="Build metadata files, or glob patterns.",
)  # fmt: skip
image_name = click.option(
    "--image-name",
    metavar="REGEX",
    default="",
    show_default=False,
    help="Only images whose name matches.",
    shell_complete=completing.project_names("image"),
)
temp_registry = click.option(
    "--temp-registry", metavar="REGISTRY", expose_value=False,
    help="Accepted for old callers and ignored: the metadata files name the registry of the builds.",
)  # fmt: skip
allow_empty = click.option("--allow-empty", is_flag=True, help="Exit 0 when there is nothing to publish.")
shard = click.option(
    "--shard", metavar="I/N", default="", show_default=False,
    help="Only shard I of N (see `bakery ci matrix --shards N`).",
)  # fmt: skip

# How it is published

jobs = click.option(
    "-j", "--jobs", type=click.IntRange(min=1), metavar="N",
    help="Number of targets at once (BAKERY_MAX_CONCURRENCY).",
)  # fmt: skip
dry_run = click.option(
    "--dry-run", is_flag=True, help="Print what would change at each registry, and write nothing. Exit 0; see --strict."
)
strict_plan = click.option("--strict", is_flag=True, help="With --dry-run: exit 1 if the run would fail.")
convert = click.option(
    "--convert", is_flag=True, help="With --dry-run: convert to SOCI, reading every layer, so that digests are known."
)
offline = click.option(
    "--offline", is_flag=True,
    help="Do not query product APIs; use cached responses of any age. With --dry-run: contact no registry either.",
)  # fmt: skip
engine = click.option(
    "--engine", type=click.Choice(["native", "cli"]), envvar="BAKERY_ENGINE", show_envvar=True, default="native",
    help="native: built-in client; cli: run oras and soci.",
)  # fmt: skip
wait_timeout = click.option(
    "--wait-timeout", type=Seconds(), metavar="SECONDS", envvar="BAKERY_WAIT_TIMEOUT", show_envvar=True,
    default=int(WAIT_TIMEOUT_S), help="How long to wait for the builds of a target.",
)  # fmt: skip
time_budget = click.option(
    "--time-budget", type=Seconds(), metavar="SECONDS", envvar="BAKERY_TIME_BUDGET", show_envvar=True,
    default=int(TIME_BUDGET_S), help="Limit for the whole run.",
)  # fmt: skip
allow_missing_platforms = click.option(
    "--allow-missing-platforms", is_flag=True, help="Publish a target even if a declared platform was not built."
)

allow_extra_platforms = click.option(
    "--allow-extra-platforms", is_flag=True, help="Publish builds for platforms that are not declared, too."
)
all_or_nothing = click.option(
    "--all-or-nothing", type=click.Choice(["target", "image", "run"]), default=None,
    help="Move no tag of a target, of an image or of the run before all of it is staged everywhere.",
)  # fmt: skip
on_failure = click.option(
    "--on-failure", type=click.Choice(["restore", "keep"]), default=None,
    show_default="restore with --all-or-nothing, else keep",
    help="What happens to the tags that have moved when another one fails.",
)  # fmt: skip


def _given(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Refuse an empty value on the command line: that of an unset variable, which would publish without the option."""
    source = context.get_parameter_source(parameter.name or "")
    values = value if isinstance(value, tuple) else (value,)
    if source is click.core.ParameterSource.COMMANDLINE and "" in values:
        raise click.BadParameter("it is empty", context, parameter)
    return value


no_downgrade = click.option(
    "--no-downgrade", is_flag=True, help="Leave a tag where it is if it names a newer image; with a note."
)
if_newer = click.option(
    "--if-newer", is_flag=True, help="Move a tag only to an image that was created later; otherwise fail."
)
immutable = click.option(
    "--immutable", metavar="PATTERN", multiple=True, callback=_given,
    help="Fail instead of giving a tag such as *.*.* another digest; repeatable.",
)  # fmt: skip
keep_previous = click.option(
    "--keep-previous", metavar="PREFIX", default="", show_default=False, callback=_given,
    help="Keep what tags named before under tags with this prefix, so that it is not deleted as untagged.",
)  # fmt: skip
referrers = click.option(
    "--referrers", is_flag=True,
    help="Copy what refers to the sources, too: signatures, SBOMs and attestations, also those under tags of cosign.",
)  # fmt: skip
attach = click.option(
    "--attach", metavar="FILE:MEDIA-TYPE", multiple=True,
    help="Attach a file, such as an SBOM, to every image before its tags move; repeatable.",
)  # fmt: skip
sign = click.option(
    "--sign", type=click.Choice(["cosign"]), default=None,
    help="Sign every digest at every destination with this program before its tags move.",
)  # fmt: skip
sign_key = click.option(
    "--sign-key", metavar="KEY", envvar="COSIGN_KEY", show_envvar=True, default="", show_default=False,
    callback=_given, help="File or URI of the key; without one, cosign signs keyless.",
)  # fmt: skip
sign_option = click.option(
    "--sign-option", metavar="OPTION", multiple=True,
    help="Pass this option to `cosign sign`, such as --signing-config=FILE; repeatable.",
)  # fmt: skip


before_commit = click.option(
    "--before-commit", metavar="COMMAND", default=None, show_default=False,
    help="Run this command once, with what is staged as JSON on stdin, before any tag moves; it may veto.",
)  # fmt: skip
delete_sources = click.option(
    "--delete-sources", is_flag=True,
    help="Delete the builds of each target that is published and verified everywhere, where the registry allows it.",
)  # fmt: skip
require_platform = click.option(
    "--require-platform", metavar="OS/ARCH", multiple=True,
    help="Publish exactly these platforms, or fail; repeatable.",
)  # fmt: skip
annotation = click.option(
    "--annotation", metavar="[LEVEL:]KEY=VALUE", multiple=True,
    help="Annotate the index, or with manifest-descriptor[OS/ARCH]: its entries; repeatable.",
)  # fmt: skip
on_duplicate = click.option(
    "--on-duplicate", type=click.Choice(["newest", "last", "refuse"]), default=None,
    show_default="newest; refuse for --digests",
    help="Which of two builds of one platform is published.",
)  # fmt: skip
soci = click.option("--soci", is_flag=True, help="Convert to SOCI, with the default settings.")

# Where images come from and go to, without a project

digests = click.option(
    "--digests", metavar="DIR", multiple=True, type=click.Path(path_type=Path),
    help="Folder with files named by the digests that builds pushed; repeatable.",
)  # fmt: skip
repositories = click.option(
    "--from", "repositories", metavar="REPOSITORY", multiple=True,
    help="Repository that has the digests; one per --digests, or one with {name} for the name of the folder.",
)  # fmt: skip
bake = click.option(
    "--bake", metavar="FILE", type=FILES, default="", show_default=False,
    help="Bake file that names the targets and their tags: what `docker buildx bake --print` prints; - is stdin.",
)  # fmt: skip
tag = click.option(
    "-t", "--tag", metavar="REPOSITORY:TAG[,TAG…]", multiple=True,
    help="Where to publish; repeatable (DOCKER_METADATA_OUTPUT_JSON).",
)  # fmt: skip

# How registries are reached

ca_file = click.option(
    "--ca-file", type=click.Path(path_type=Path), metavar="FILE", envvar="BAKERY_CA_FILE", show_envvar=True,
    help="Trust these certificate authorities as well.",
)  # fmt: skip
client_cert = click.option(
    "--client-cert", type=click.Path(path_type=Path), metavar="FILE", envvar="BAKERY_CLIENT_CERT", show_envvar=True,
    help="Present this certificate to registries that require one.",
)  # fmt: skip
client_key = click.option(
    "--client-key", type=click.Path(path_type=Path), metavar="FILE", envvar="BAKERY_CLIENT_KEY", show_envvar=True,
    help="Key of the client certificate, if its file does not contain it.",
)  # fmt: skip
plain_http = click.option(
    "--plain-http", metavar="HOST", multiple=True,
    help="Use plain HTTP for this registry; repeatable (BAKERY_PLAIN_HTTP).",
)  # fmt: skip
trusted_realm = click.option(
    "--trusted-realm", metavar="ORIGIN", multiple=True,
    help="Send credentials to this token service; repeatable (BAKERY_TRUSTED_REALMS).",
)  # fmt: skip
build_tool_identifier = click.option(
    "--build-tool-identifier", metavar="TEXT", envvar="BAKERY_BUILD_TOOL_IDENTIFIER", show_envvar=True,
    help="Identifier recorded in every SOCI index; part of its digest.",
)  # fmt: skip

# What is reported

summary = click.option("--summary", is_flag=True, help="Print a summary.")
summary_format = click.option(
    "--summary-format", type=click.Choice(["table", "json"]), default="table",
    help="The table is printed on stderr, JSON on stdout.",
)  # fmt: skip
summary_file = click.option(
    "--summary-file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write the summary to this file; as JSON if its name ends in .json.",
)  # fmt: skip
result = click.option(
    "--output", "result", type=click.Choice(["text", "json", "markdown"]), default="text",
    help="json: print the digest, tags and platforms of every image on stdout, or what --dry-run found; "
    "markdown: what --dry-run found, for a pull request.",
)  # fmt: skip
journal = click.option(
    "--journal", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Append events to this file as JSON lines.",
)  # fmt: skip

timeline = click.option(
    "--timeline", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write a page with the timeline of the run to this file (HTML).",
)  # fmt: skip
trace = click.option(
    "--trace", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write the run to this file as a trace, which ui.perfetto.dev opens (JSON).",
)  # fmt: skip

# Registries that misbehave on purpose

faults = click.option(
    "--faults", metavar="NAME|FILE", default="", show_default="none",
    help="Inject the faults of ghcr, hub, ecr, flaky, hostile … (docs/faults.md), or of a JSON file.",
    shell_complete=completing.faults,
)  # fmt: skip
seed = click.option("--seed", type=int, metavar="N", default=0, help="Random seed for fault injection.")


def wants_summary(summary: bool, form: str, *, file: Path | None = None, plan: bool = False) -> bool:
    """Return whether a summary is printed: --summary, or --summary-format json, unless that is the form of a file.

    plan: a plan is printed on stdout. Raises UsageError for a plan and a JSON summary.
    """
    wanted = summary or (form == "json" and file is None)
    if plan and wanted and form == "json":
        raise UsageError("cannot combine --plan and --summary-format json", why="both print on stdout")
    return wanted


def overlaid(
    environment: Mapping[str, str],
    *,
    ca_file: Path | None = None,
    client_cert: Path | None = None,
    client_key: Path | None = None,
    plain_http: Sequence[str] = (),
    trusted_realm: Sequence[str] = (),
    build_tool_identifier: str | None = None,
) -> dict[str, str]:
    """Return the environment, with options in place of the variables that they replace.

    Errors name the option if its value is from the command line, and the variable if it is from there.
    """
    given = {
        "ca_file": ("BAKERY_CA_FILE", str(ca_file or "")),
        "client_cert": ("BAKERY_CLIENT_CERT", str(client_cert or "")),
        "client_key": ("BAKERY_CLIENT_KEY", str(client_key or "")),
        "plain_http": ("BAKERY_PLAIN_HTTP", ",".join(plain_http)),
        "trusted_realm": ("BAKERY_TRUSTED_REALMS", ",".join(trusted_realm)),
        "build_tool_identifier": ("BAKERY_BUILD_TOOL_IDENTIFIER", build_tool_identifier or ""),
    }
    context = click.get_current_context(silent=True)
    named = {
        variable: f"--{name.replace('_', '-')}"
        for name, (variable, text) in given.items()
        if text and (context is None or context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE)
    }
    return Overlaid(dict(environment) | {name: text for name, text in given.values() if text}, named)
