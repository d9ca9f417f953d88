"""The command lines of the cli engine, argument by argument. Pure: they are run and printed elsewhere.

Source: pipeline.md 5.2; oras 1.3.6, soci 0.11 and later.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from bakery.oci.annotation import CREATED
from bakery.oci.reference import DigestReference, LayoutReference, Repository, SourceReference
from bakery.publish.plan import Plan, PlannedTarget
from bakery.registry.config import RegistryConfig
from bakery.registry.origin import api_origin

if TYPE_CHECKING:
    from bakery.config.schema.options import SociOptions

INDEX_DIGEST = "<index-digest>"  # in a dry run: it is only known once the builds have been read
Command = tuple[str, ...]


class Oras(Struct, frozen=True):
    """Builds commands of oras. program: the executable. config: which registries use plain HTTP, and the CA file.

    over_tls: registries on loopback names that turned out to speak TLS.
    """

    program: str
    config: RegistryConfig
    over_tls: frozenset[str] = frozenset()

    def describe(self, reference: str, output: Path | None = None) -> Command:
        """Print the descriptor of a manifest; write the manifest itself to `output`, if given."""
        files = () if output is None else ("--output", str(output))
        return self._command(reference, "manifest", "fetch", "--descriptor", *files)

    def manifest(self, reference: str) -> Command:
        """Print the exact bytes of a manifest."""
        return self._command(reference, "manifest", "fetch", "--output", "-")

    def blob(self, reference: str) -> Command:
        """Print a blob."""
        return self._command(reference, "blob", "fetch", "--output", "-")

    def describe_blob(self, reference: str) -> Command:
        """Print the descriptor of a blob, without reading it."""
        return self._command(reference, "blob", "fetch", "--descriptor")

    def create_index(self, repository: str, digests: Iterable[str], annotations: Mapping[str, str]) -> Command:
        """Create an index of manifests of this repository there, without a tag."""
        words = [word for key in sorted(annotations) for word in ("--annotation", f"{key}={annotations[key]}")]
        return (*self._command(repository, "manifest", "index", "create"), *digests, *words)

    def push_manifest(self, reference: str, media_type: str, file: Path | str) -> Command:
        """Push a manifest under its digest."""
        return (*self._command(reference, "manifest", "push", "--media-type", media_type), str(file))

    def copy(self, source: str, destination: str, *, force: bool = False) -> Command:
        """Copy an index or manifest with everything it names. Writes a tag only if the destination has one."""
        return (
            *(self.program, "cp"),
            *(("--force",) if force else ()),
            *self._options_for(source, "--from-"),
            *self._options_for(destination, "--to-"),
            *(source, destination),
        )

    def copy_to_layout(self, source: str, layout: Path | str, name: str) -> Command:
        """Copy an image into an OCI layout."""
        return (
            self.program,
            "cp",
            *self._options_for(source, "--from-"),
            "--to-oci-layout",
            source,
            f"{layout}:{name}",
        )

    def copy_from_layout(self, layout: Path | str, digest: str, destination: str) -> Command:
        """Copy an image from an OCI layout into a repository, without a tag."""
        return (
            *(self.program, "cp", "--from-oci-layout"),
            *self._options_for(destination, "--to-"),
            *(f"{layout}@{digest}", destination),
        )

    def tag(self, reference: str, *tags: str) -> Command:
        """Make tags name the manifest with this digest."""
        return (*self._command(reference, "tag"), *tags)

    def tags(self, repository: str) -> Command:
        """List every tag."""
        return self._command(repository, "repo", "tags")

    def version(self) -> Command:
        return (self.program, "version")

    def _command(self, reference: str, *words: str) -> Command:
        return (self.program, *words, *self._options_for(reference, "--"), reference)

    def _options_for(self, reference: str, prefix: str) -> Command:
        """Return the options for the registry of this reference, by the same rule as the native engine."""
        registry = reference.partition("/")[0]
        if registry not in self.over_tls and api_origin(registry, self.config.plain_http).scheme == "http":
            return (f"{prefix}plain-http",)
        return () if self.config.ca_file is None else (f"{prefix}ca-file", str(self.config.ca_file))


def soci_convert(program: str, options: SociOptions, source: Path | str, result: Path | str) -> Command:
    """Convert an OCI layout into another, without containerd."""
    words = [program, "convert", "--standalone", "--format", "oci-dir"]
    for platform in options.platforms or ():
        words += ["--platform", platform]
    if not options.platforms:
        words.append("--all-platforms")
    if options.span_size is not None:
        words += ["--span-size", str(options.span_size)]
    if options.min_layer_size is not None:
        words += ["--min-layer-size", str(options.min_layer_size)]
    for file in options.prefetch_files:
        words += ["--prefetch-file", file]
    for optimization in options.optimizations:
        words += ["--optimizations", optimization]
    return (*words, str(source), str(result))


def dry_run_lines(plan: Plan, oras: Oras, soci: str = "soci") -> list[str]:
    """Return the commands of a run as shell lines, per target. The programs need not be installed.

    No registry is queried, so it is assumed that builds are plain manifests and that no destination has content yet.
    """
    lines: list[str] = []
    for target in plan.targets:
        lines.append(f"# {target.uid}")
        lines += [shlex.join(command) for command in _commands(target, oras, soci)]
    return lines


def _commands(target: PlannedTarget, oras: Oras, soci: str) -> list[Command]:
    sources = [source.reference for source in target.sources]
    homes = list(dict.fromkeys(_home(source) for source in sources))
    one_home = len(homes) == 1 and homes[0] is not None
    home = homes[0] or target.destinations[0].repository
    commands = [oras.describe(str(source)) for source in sources if _home(source) is not None]
    if target.soci is not None and not one_home:
        commands += [_copy(source, oras, home) for source in sources if _home(source) != home]
        one_home = True
    if one_home:
        commands.append(_create(target, oras, home, sources))
    found = f"{home}@{INDEX_DIGEST}"
    if target.soci is not None:
        folder = Path("soci-standalone")
        commands += [
            oras.copy_to_layout(found, folder / "src", "image"),
            soci_convert(soci, target.soci, folder / "src", folder / "out"),
            oras.copy_from_layout(folder / "out", "<soci-index-digest>", str(home)),
        ]
        found = f"{home}@<soci-index-digest>"
    digest = found.partition("@")[2]
    for place in target.destinations:
        if one_home and place.repository != home:
            commands.append(oras.copy(found, str(place.repository)))
        elif not one_home:
            commands += [_copy(source, oras, place.repository) for source in sources]
            commands.append(oras.push_manifest(f"{place.repository}@{digest}", "<media-type>", "<index-file>"))
    for place in target.destinations:
        commands += [oras.tag(f"{place.repository}@{digest}", tag) for tag in place.tags]
        commands += [oras.describe(str(reference)) for reference in place.references]
    return commands


def _home(source: SourceReference) -> Repository | None:
    """Return the repository of a source; None for one on disk."""
    return None if isinstance(source, LayoutReference) else source.repository


def _copy(source: SourceReference, oras: Oras, repository: Repository) -> Command:
    if isinstance(source, LayoutReference):
        return oras.copy_from_layout(source.layout.path, "<digest>", str(repository))
    return oras.copy(str(source), str(repository))


def _create(target: PlannedTarget, oras: Oras, home: Repository, sources: Sequence[SourceReference]) -> Command:
    digests = [str(source.digest) if isinstance(source, DigestReference) else "<digest>" for source in sources]
    return oras.create_index(str(home), digests, dict(target.annotations) | {CREATED: "<created>"})
