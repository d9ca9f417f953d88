"""Rehearsing: publish to registries inside this process, with real transfers.

Every registry that a project, a bake file or `--tag` names is replaced by an embedded one, and one more is the
temporary registry. Builds are small images made here for every target, or real ones from an OCI layout. Nothing outside
this process is contacted.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from msgspec.structs import replace

from bakery.app.engine import make_client
from bakery.app.planning import project_targets
from bakery.app.sources import check_platforms, read_bake_file
from bakery.defaults import NATIVE_JOBS, REQUEST_BACKOFF_S, TIME_BUDGET_S
from bakery.engines.native import NativeEngine
from bakery.errors import BakeryError, UsageError
from bakery.events import Emit, ignore
from bakery.limits import open_files
from bakery.oci import canonical
from bakery.oci import media_type as mt
from bakery.oci.canonical import parse_object
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.platform import Platform
from bakery.oci.reference import LayoutReference, Repository
from bakery.parallel.jobs import resolve_max_workers
from bakery.parallel.root import run_interruptible
from bakery.plans.project import plan_project, source_of
from bakery.publish.outcome import Outcome
from bakery.publish.pipeline import Pipeline, PipelineOptions
from bakery.publish.plan import Plan, PlannedTarget, Source
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.serving import ServeOptions, create_registry
from bakery.retry import RetryPolicy, SystemClock
from bakery.targets.metadata import BuildResult, Metadata, find_files, read_metadata

if TYPE_CHECKING:
    from bakery.targets.target import Target

TEMPORARY: Final = "temporary.example"
PLATFORMS: Final = ("linux/amd64", "linux/arm64")  # of an image that does not say
_LEAST_FILES: Final = 32  # open at once by the registries and the connections to them
CREATED: Final = "2026-01-01T00:00:00Z"  # of the images made here, so that every rehearsal yields the same digests
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


class RehearseRequest(Struct, frozen=True):
    """What to rehearse: a project, the targets of a bake file, or one image.

    image_name: a regular expression, searched for. allow_empty: it may match nothing. bake: a bake file, or "-" for
    `stdin`. tag: `REPOSITORY[:TAG[,TAG…]]`, as `publish` takes it. require_platform: what is built of an image without
    a project; () is both common ones. metadata: files and patterns that real builds left; they need `layout`, an OCI
    layout folder with what they name. faults: the name of a profile, or "". jobs: targets at once; None means the
    default. time_budget: seconds for the whole run.
    """

    project: Path | None = None
    image_name: str = ""
    allow_empty: bool = False
    bake: str = ""
    tag: tuple[str, ...] = ()
    require_platform: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    layout: Path | None = None
    faults: str = ""
    seed: int = 0
    jobs: int | None = None
    time_budget: float = TIME_BUDGET_S
    stdin: bytes = b""
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


class Wanted(Struct, frozen=True):
    """A target to rehearse. repository: in the temporary registry, for the builds that are made here."""

    uid: str
    platforms: tuple[str, ...]
    repository: Repository


class Rehearsed(Struct, frozen=True):
    """What is rehearsed: targets, and the plan for builds of them."""

    targets: Sequence[Wanted]
    plan: Callable[[Metadata], Plan]


class Rehearsal(Struct, frozen=True):
    """One rehearsal. faults: the name of a profile, or "".

    metadata: real builds of some of the targets, with `layout`, an OCI layout folder that contains them. Small images
    are made for the other targets.
    """

    what: Rehearsed
    metadata: Metadata | None = None
    layout: Path | None = None
    faults: str = ""
    seed: int = 0
    jobs: int = NATIVE_JOBS
    time_budget_s: float = TIME_BUDGET_S


def rehearse_request(request: RehearseRequest, *, emit: Emit = ignore) -> RehearsalResult:
    """Rehearse a publish. Raises UsageError for metadata without a layout, and for options that exclude each other."""
    if (files := open_files()) < _LEAST_FILES:  # the registries would wait for one in vain
        why = f"it needs {_LEAST_FILES} open files, and this process may have {files} (ulimit -n)"
        raise BakeryError(
            "cannot rehearse", why=why, hint="raise it, for example with ulimit -n 1024", error_code="system/limit"
        )
    if request.metadata and request.layout is None:
        raise UsageError("--metadata needs --layout", hint="pass --layout with the OCI layout that has the images")
    what = _rehearsed(request, emit)
    builds = read_metadata(find_files(request.metadata, Path.cwd())) if request.metadata else None
    jobs = resolve_max_workers(request.jobs, len(what.targets), default=NATIVE_JOBS, environment=request.environment)
    rehearsal = Rehearsal(
        what, builds, request.layout, request.faults, request.seed, jobs, time_budget_s=request.time_budget
    )
    policy = RetryPolicy.from_environment(request.environment, base_delay=REQUEST_BACKOFF_S)
    return run_interruptible(rehearse(rehearsal, policy=policy, emit=emit))


def of_project(targets: Sequence[Target]) -> Rehearsed:
    """Return targets of a project, to rehearse them."""
    wanted = [Wanted(target.uid, target.platforms, Repository.parse(target.temp_name(TEMPORARY))) for target in targets]
    return Rehearsed(wanted, partial(plan_project, targets))


def _rehearsed(request: RehearseRequest, emit: Emit) -> Rehearsed:
    if request.bake and request.tag:
        raise UsageError("cannot combine --bake and --tag", why="the bake file has the tags")
    if not (request.bake or request.tag):
        if request.require_platform:
            raise UsageError("cannot use --require-platform", why="the project says what is built")
        project = request.project or Path()
        return of_project(project_targets(project, request.image_name, allow_empty=request.allow_empty, emit=emit))
    option = "--bake" if request.bake else "--tag"
    if request.project is not None or request.image_name:
        raise UsageError(f"cannot combine {option}", why="it excludes a project and --image-name")
    platforms = request.require_platform or PLATFORMS
    check_platforms(platforms, emit)
    return _of_bake(request, platforms) if request.bake else _of_tags(request.tag, platforms)


def _of_bake(request: RehearseRequest, platforms: tuple[str, ...]) -> Rehearsed:
    from bakery.plans.bake import plan_bake

    name, targets = read_bake_file(request.bake, request.stdin)
    wanted = [  # a name may have capital letters, a repository may not
        Wanted(target.name, target.platforms or platforms, Repository(TEMPORARY, f"target-{number}/build"))
        for number, target in enumerate(targets)
        if target.tags
    ]
    return Rehearsed(wanted, partial(plan_bake, targets, file=name))


def _of_tags(tags: Sequence[str], platforms: tuple[str, ...]) -> Rehearsed:
    from bakery.plans.annotations import Annotations
    from bakery.plans.image import image_target
    from bakery.plans.tags import parse_destinations

    target = image_target((), parse_destinations(tags), Annotations())

    def plan(metadata: Metadata) -> Plan:
        builds = [build for builds in metadata.results.values() for build in builds]
        return Plan((replace(target, sources=tuple(map(source_of, builds))),))

    return Rehearsed([Wanted(target.uid, platforms, Repository(TEMPORARY, f"{target.image}/build"))], plan)


class RehearsalResult(Struct, frozen=True):
    """The plan with the project's registries, the outcome with the addresses of their stand-ins, and counts."""

    plan: Plan
    outcome: Outcome
    stand_ins: Mapping[str, str]  # registry of the project → loopback address
    requests: Mapping[str, int]  # by registry
    faults_met: Mapping[str, Mapping[str, int]]  # by registry and name of the fault


async def rehearse(rehearsal: Rehearsal, *, policy: RetryPolicy, emit: Emit) -> RehearsalResult:
    """Publish to embedded registries."""
    given = dict(rehearsal.metadata.results) if rehearsal.metadata else {}
    made = [target for target in rehearsal.what.targets if target.uid not in given]
    results = given | {
        target.uid: tuple(_build_of(target, platform) for platform in target.platforms) for target in made
    }
    plan = rehearsal.what.plan(Metadata((), results, {}))
    async with AsyncExitStack() as stack:
        registries: dict[str, EmbeddedRegistry] = {}
        for number, name in enumerate(sorted(_registries(plan))):
            embedded = create_registry(ServeOptions(faults=rehearsal.faults, seed=rehearsal.seed + number))
            registries[name] = await stack.enter_async_context(embedded)
        _push_builds(registries, plan, made, rehearsal.layout)
        stand_ins = {name: embedded.address for name, embedded in registries.items()}
        outcome = await _publish(_redirected(plan, stand_ins), rehearsal, policy, emit)
        requests = {name: embedded.count() for name, embedded in registries.items()}
        faults = {name: dict(embedded.faults_met) for name, embedded in registries.items()}
    return RehearsalResult(plan, outcome, stand_ins, requests, faults)


async def _publish(plan: Plan, rehearsal: Rehearsal, policy: RetryPolicy, emit: Emit) -> Outcome:
    clock = SystemClock()
    deadline = clock.now() + rehearsal.time_budget_s
    # An empty environment, so that the user's proxies, credentials and CA files play no part.
    client = make_client({}, policy=policy, clock=clock, emit=emit, deadline=deadline)
    client.announce_writes(plan.repositories)
    options = PipelineOptions(doing="rehearse", jobs=rehearsal.jobs, time_budget_s=rehearsal.time_budget_s)
    return await Pipeline(plan, NativeEngine(client, emit=emit), options=options, clock=clock, emit=emit).execute()


def make_image(uid: str, platform: str) -> tuple[bytes, bytes, bytes]:
    """Return a small image for a platform: layer, config and manifest. Equal arguments give equal bytes."""
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


def _build_of(target: Wanted, platform: str) -> BuildResult:
    _, _, manifest = make_image(target.uid, platform)
    reference = target.repository.with_digest(Digest.of(manifest))
    return BuildResult(target.uid, reference, None, None, Path("made-by-the-rehearsal"))


def _registries(plan: Plan) -> set[str]:
    sources = {_repository(source).registry for target in plan.targets for source in target.sources}
    return sources | {repository.registry for repository in plan.repositories}


def _repository(source: Source) -> Repository:
    assert not isinstance(source.reference, LayoutReference)  # the builds of a project are in registries
    return source.reference.repository


def _push_builds(
    registries: Mapping[str, EmbeddedRegistry], plan: Plan, made: Sequence[Wanted], layout: Path | None
) -> None:
    """Put every build where the plan expects it."""
    planned = {target.uid for target in plan.targets}
    for target in made:
        for platform in target.platforms if target.uid in planned else ():
            layer, config, manifest = make_image(target.uid, platform)
            for blob in (layer, config):
                registries[TEMPORARY].put_blob(target.repository.path, blob)
            registries[TEMPORARY].put_manifest(target.repository.path, manifest)
    if layout is not None:
        for repository in {_repository(source) for target in plan.targets for source in target.sources}:
            if repository.registry != TEMPORARY:
                load_layout(layout, registries[repository.registry], repository.path)


def load_layout(layout: Path, embedded: EmbeddedRegistry, path: str) -> None:
    """Copy everything in an OCI layout folder to one repository of an embedded registry."""
    index = parse_object((layout / "index.json").read_bytes(), about=layout / "index.json")
    manifests = {Digest.parse(entry.get("digest")) for entry in index.get("manifests", ())}
    found = {Digest(file.parent.name, file.name): file for file in sorted(layout.glob("blobs/*/*"))}
    for digest in found.keys() - manifests:
        embedded.put_blob(path, found[digest].read_bytes())
    for digest in sorted(manifests & found.keys()):
        embedded.put_manifest(path, found[digest].read_bytes())


def _redirected(plan: Plan, stand_ins: Mapping[str, str]) -> Plan:
    """The plan with every registry replaced by its stand-in."""

    def redirected(repository: Repository) -> Repository:
        return Repository(stand_ins[repository.registry], repository.path)

    def target_of(target: PlannedTarget) -> PlannedTarget:
        sources = [
            replace(source, reference=replace(source.reference, repository=redirected(_repository(source))))
            for source in target.sources
        ]
        places = [replace(place, repository=redirected(place.repository)) for place in target.destinations]
        return replace(target, sources=tuple(sources), destinations=tuple(places))

    return replace(plan, targets=tuple(target_of(target) for target in plan.targets))
