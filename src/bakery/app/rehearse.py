"""A rehearsal: publish a project for real, to registries that live inside this process.

Every registry that the project names gets an embedded one in its place, and one more stands for the temporary registry.
Builds are made on the spot, small ones for every target, or taken from a folder that a real buildx left behind.
Nothing outside this process is asked.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from msgspec.structs import replace

from bakery.app.planning import project_targets
from bakery.defaults import NATIVE_JOBS, TIME_BUDGET_S
from bakery.engines.native import NativeEngine
from bakery.errors import UsageError
from bakery.events import Emit, ignore
from bakery.oci import canonical
from bakery.oci import media_type as mt
from bakery.oci.canonical import parse_object
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.platform import Platform
from bakery.oci.reference import Repository
from bakery.parallel.jobs import resolve_max_workers
from bakery.parallel.root import run_interruptible
from bakery.publish.outcome import Outcome
from bakery.publish.pipeline import Run, RunOptions
from bakery.publish.plan import Plan, PlannedTarget, make_plan
from bakery.registry.client import Client
from bakery.registry.settings import Settings
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.serving import ServeOptions, create_registry
from bakery.retry import RetryPolicy, SystemClock
from bakery.targets.metadata import BuildResult, Metadata, find_files, read_metadata

if TYPE_CHECKING:
    from bakery.targets.target import Target

TEMPORARY: Final = "temporary.example"
CREATED: Final = "2026-01-01T00:00:00Z"  # of the images made here: a rehearsal gives the same digests every time
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


class RehearseRequest(Struct, frozen=True):
    """A project to rehearse.

    image_name: a regular expression, searched for. metadata: files and patterns that real builds left; they need
    `layout`, an OCI layout folder with what they name. faults: the name of a profile, or "". jobs: targets at once;
    None means the default. time_budget: seconds for the whole run.
    """

    project: Path = Path()
    image_name: str | None = None
    metadata: tuple[str, ...] = ()
    layout: Path | None = None
    faults: str = ""
    seed: int = 0
    jobs: int | None = None
    time_budget: float = TIME_BUDGET_S
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def rehearse_project(request: RehearseRequest, *, emit: Emit = ignore) -> Rehearsed:
    """Rehearse the publish of a project. Raises UsageError for metadata without a layout."""
    if request.metadata and request.layout is None:
        raise UsageError("--metadata needs --layout", hint="pass --layout with the OCI layout that has the images")
    builds = read_metadata(find_files(request.metadata, Path.cwd())) if request.metadata else None
    targets = project_targets(request.project, request.image_name, emit=emit)
    jobs = resolve_max_workers(request.jobs, len(targets), default=NATIVE_JOBS, environment=request.environment)
    rehearsal = Rehearsal(
        targets, builds, request.layout, request.faults, request.seed, jobs, time_budget_s=request.time_budget
    )
    policy = RetryPolicy.from_environment(request.environment, base_delay=0.5)
    return run_interruptible(rehearse(rehearsal, policy=policy, emit=emit))


class Rehearsal(Struct, frozen=True):
    """What is rehearsed. faults: a profile's name, or "".

    metadata: what real builds left, of some targets; small images are made for the others. layout: an OCI layout
    folder that holds what the metadata names; it is needed with metadata.
    """

    targets: Sequence[Target]
    metadata: Metadata | None = None
    layout: Path | None = None
    faults: str = ""
    seed: int = 0
    jobs: int = NATIVE_JOBS
    time_budget_s: float = TIME_BUDGET_S


class Rehearsed(Struct, frozen=True):
    """How it went: the plan as the project has it, the outcome, and by registry what was asked and went wrong."""

    plan: Plan
    outcome: Outcome
    stood_for: Mapping[str, str]  # the project's registry → the loopback address that played it
    requests: Mapping[str, int]
    faults_met: Mapping[str, Mapping[str, int]]


async def rehearse(rehearsal: Rehearsal, *, policy: RetryPolicy, emit: Emit) -> Rehearsed:
    """Publish to embedded registries and tell what came of it. The outcome speaks of loopback addresses."""
    brought = dict(rehearsal.metadata.results) if rehearsal.metadata else {}
    made = [target for target in rehearsal.targets if target.uid not in brought]
    results = brought | {
        target.uid: tuple(_build_of(target, platform) for platform in target.platforms) for target in made
    }
    plan = make_plan(rehearsal.targets, Metadata((), results, {}))
    async with AsyncExitStack() as stack:
        cast: dict[str, EmbeddedRegistry] = {}
        for number, name in enumerate(sorted(_registries(plan))):
            actor = create_registry(ServeOptions(faults=rehearsal.faults, seed=rehearsal.seed + number))
            cast[name] = await stack.enter_async_context(actor)
        _fill(cast, plan, rehearsal.layout)
        stood_for = {name: actor.address for name, actor in cast.items()}
        outcome = await _publish(_recast(plan, stood_for), rehearsal, policy, emit)
        requests = {name: actor.count() for name, actor in cast.items()}
        faults = {name: dict(actor.faults_met) for name, actor in cast.items()}
    return Rehearsed(plan, outcome, stood_for, requests, faults)


async def _publish(plan: Plan, rehearsal: Rehearsal, policy: RetryPolicy, emit: Emit) -> Outcome:
    clock = SystemClock()
    deadline = clock.now() + rehearsal.time_budget_s
    # An empty environment: no proxy, no credential and no CA file of the user's takes part in a rehearsal.
    client = Client(settings=Settings.from_environment({}), policy=policy, clock=clock, emit=emit, deadline=deadline)
    client.announce_writes(plan.repositories)
    options = RunOptions(jobs=rehearsal.jobs, time_budget_s=rehearsal.time_budget_s)
    return await Run(plan, NativeEngine(client), options=options, clock=clock, emit=emit).execute()


def make_image(uid: str, platform: str) -> tuple[bytes, bytes, bytes]:
    """A small image for this platform: layer, config, manifest. The same arguments give the same bytes."""
    text = f"{uid} for {platform}, made by a rehearsal\n".encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("etc/bakery-rehearsal")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    layer = gzip.compress(archive.getvalue(), mtime=0)
    parsed = Platform.parse(platform)
    rootfs = {"type": "layers", "diff_ids": [str(Digest.of(archive.getvalue()))]}
    config = json.dumps(parsed.to_json() | {"created": CREATED, "config": {}, "rootfs": rootfs}).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": mt.OCI_MANIFEST,
        "config": Descriptor.of(config, mt.OCI_CONFIG).to_json(),
        "layers": [Descriptor.of(layer, _LAYER).to_json()],
    }
    return layer, config, canonical.encode(document, canonical.MANIFEST)


def _build_of(target: Target, platform: str) -> BuildResult:
    _, _, manifest = make_image(target.uid, platform)
    reference = Repository.parse(target.temp_name(TEMPORARY)).with_digest(Digest.of(manifest))
    return BuildResult(target.uid, reference, None, None, Path("made-by-the-rehearsal"))


def _registries(plan: Plan) -> set[str]:
    sources = {build.reference.repository.registry for target in plan.targets for build in target.builds}
    return sources | {repository.registry for repository in plan.repositories}


def _fill(cast: Mapping[str, EmbeddedRegistry], plan: Plan, layout: Path | None) -> None:
    """Put every build where the plan expects it, as if it had been pushed there long ago."""
    brought: set[Repository] = set()
    for target in plan.targets:
        if all(build.reference.repository.registry == TEMPORARY for build in target.builds):
            for platform, build in zip(target.platforms, target.builds, strict=True):
                layer, config, manifest = make_image(target.uid, platform)
                for blob in (layer, config):
                    cast[TEMPORARY].put_blob(build.reference.repository.path, blob)
                cast[TEMPORARY].put_manifest(build.reference.repository.path, manifest)
        else:
            brought |= {build.reference.repository for build in target.builds}
    for repository in brought:
        if layout is not None:
            load_layout(layout, cast[repository.registry], repository.path)


def load_layout(layout: Path, actor: EmbeddedRegistry, path: str) -> None:
    """Everything that an OCI layout folder holds, into one repository of an embedded registry."""
    index = parse_object((layout / "index.json").read_bytes(), about=layout / "index.json")
    manifests = {Digest.parse(entry.get("digest")) for entry in index.get("manifests", ())}
    found = {Digest(file.parent.name, file.name): file for file in sorted(layout.glob("blobs/*/*"))}
    for digest in found.keys() - manifests:
        actor.put_blob(path, found[digest].read_bytes())
    for digest in sorted(manifests & found.keys()):
        actor.put_manifest(path, found[digest].read_bytes())


def _recast(plan: Plan, stood_for: Mapping[str, str]) -> Plan:
    """The plan with every registry replaced by the one that plays it."""

    def recast(repository: Repository) -> Repository:
        return Repository(stood_for[repository.registry], repository.path)

    def target_of(target: PlannedTarget) -> PlannedTarget:
        builds = [
            replace(build, reference=replace(build.reference, repository=recast(build.reference.repository)))
            for build in target.builds
        ]
        places = [replace(place, repository=recast(place.repository)) for place in target.destinations]
        return replace(target, builds=tuple(builds), destinations=tuple(places))

    return replace(plan, targets=tuple(target_of(target) for target in plan.targets))
