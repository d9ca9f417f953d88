"""Command lines of buildx and podman. Pure. Source: commands.md 1.3 to 1.6."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bakery.build.plan import BY_DIGEST, BuildPlan, PlannedBuild, cache_destination, cache_source


def _deferring(plan: BuildPlan) -> tuple[str, str]:
    """Return the mode in which one failure does not end the others, and the metadata file has what succeeded."""
    jobs = plan.options.jobs
    return ("--jobs", "defer-error" + (f",parallel={jobs}" if jobs else ""))


def bake(
    program: Sequence[str],
    plan: BuildPlan,
    metadata_file: Path,
    uids: Sequence[str] = (),
    *,
    defer_error: bool = False,
) -> list[str]:
    """Return a bake of the bake file on stdin. uids: only these targets."""
    options = plan.options
    return [
        *program,
        "bake",
        *_builder(plan),
        *("--progress", "plain", "--file", "-", "--metadata-file", str(metadata_file)),
        *(_deferring(plan) if defer_error else ()),
        *(("--load",) if options.loads else ()),
        *(("--push",) if options.push and not options.by_digest else ()),
        *uids,
    ]


def bake_print(program: Sequence[str], plan: BuildPlan) -> list[str]:
    """Return a command that succeeds if this buildx knows `--jobs defer-error`. It reads PROBE and builds nothing."""
    return [*program, "bake", "--print", "--file", "-", *_deferring(plan)]


PROBE = b'{"target": {"default": {}}}'


def bake_check(program: Sequence[str], plan: BuildPlan, uids: Sequence[str] = ()) -> list[str]:
    """Return a check of the Containerfiles of a bake file on stdin; the result is JSON on stdout."""
    return [
        *program, "bake", *_builder(plan), "--progress", "quiet", "--file", "-", "--call", "check,format=json", *uids,
    ]  # fmt: skip


def inspect_builder(program: Sequence[str], plan: BuildPlan) -> list[str]:
    """Return a command that describes the builder."""
    return [*program, "inspect", *((plan.options.builder,) if plan.options.builder else ())]


def start_builder(program: Sequence[str], plan: BuildPlan) -> list[str]:
    """Return a command that starts the builder, if it is not running, and describes it."""
    return [*inspect_builder(program, plan), "--bootstrap"]


def build(program: Sequence[str], plan: BuildPlan, one: PlannedBuild, metadata_file: Path) -> list[str]:
    """Return a build of one target by buildx."""
    options = plan.options
    return [
        *program,
        "build",
        *_builder(plan),
        *("--progress", "plain"),
        *_labels_and_arguments(plan, one),
        *(("--no-cache",) if not options.cache else ()),
        *(("--load",) if options.loads else ()),
        *(("--push",) if options.push and not options.by_digest else ()),
        *(("--pull",) if options.pull else ()),
        *("--metadata-file", str(metadata_file)),
        *("--file", str(plan.context / one.target.containerfile)),
        *_cache(plan, one),
        *(("--output", _joined(BY_DIGEST)) if options.by_digest else ()),
        *(f"--attest={attestation}" for attestation in plan.attestations()),
        *_end(plan, one),
    ]


def podman_build(program: Sequence[str], plan: BuildPlan, one: PlannedBuild) -> list[str]:
    """Return a build of one target by podman, which keeps the image in its own storage."""
    options = plan.options
    return [
        *program,
        "build",
        *_labels_and_arguments(plan, one),
        *(("--no-cache",) if not options.cache else ()),
        *(("--pull",) if options.pull else ()),
        *("--file", str(plan.context / one.target.containerfile)),
        *_end(plan, one),
    ]


def podman_push(program: Sequence[str], reference: str, digest_file: Path) -> list[str]:
    """Return a push of a tag by podman, which writes the digest to a file."""
    return [*program, "push", "--digestfile", str(digest_file), reference]


def _builder(plan: BuildPlan) -> tuple[str, ...]:
    return ("--builder", plan.options.builder) if plan.options.builder else ()


def _labels_and_arguments(plan: BuildPlan, one: PlannedBuild) -> Iterator[str]:
    for name, value in plan.labels(one).items():
        yield from ("--label", f"{name}={value}")
    for name, value in one.target.build_args.items():
        yield from ("--build-arg", f"{name}={value}")


def _cache(plan: BuildPlan, one: PlannedBuild) -> Iterator[str]:
    if one.cache_ref:
        yield from ("--cache-from", _joined(cache_source(one)))
        if plan.options.push:
            yield from ("--cache-to", _joined(cache_destination(one)))


def _end(plan: BuildPlan, one: PlannedBuild) -> Iterator[str]:
    target = one.target
    yield from ("--platform", ",".join(one.platforms))
    for tag in plan.tags(one):
        yield from ("--tag", tag)
    if target.build_target is not None:
        yield from ("--target", target.build_target)
    for secret in target.secrets:
        yield from ("--secret", f"id={secret.id},env={secret.variable}")
    yield str(plan.context)


def _joined(attributes: Mapping[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in attributes.items())
