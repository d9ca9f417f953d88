"""The cli engine: drives real oras and soci, each command a tracked process. Implements publish.engine.Engine.

The index is made where its sources lie, by digest, and copied from there; tags are moved by `oras tag` alone.
Credentials are none of our business here: oras reads Docker's configuration. Source: pipeline.md 5.2 to 5.7.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from bakery.engines.argv import Command, Oras, soci_convert
from bakery.engines.owner import owning
from bakery.errors import (
    AuthError,
    BadDocument,
    BakeryError,
    BudgetSpent,
    DigestMismatch,
    NotFound,
    RegistryError,
    Unavailable,
)
from bakery.events import Emit, Event, StepRetried, ignore
from bakery.oci import canonical
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import Index, Manifest, RawManifest, is_attestation
from bakery.oci.reference import DigestReference, Repository, TagReference
from bakery.parallel.command import CommandResult, CommandRunner, Surroundings
from bakery.parallel.jobs import current_job
from bakery.parallel.program import ProgramMissing, find_program
from bakery.parallel.root import scratch_directory
from bakery.parallel.spawn import command_line
from bakery.parallel.transient import looks_transient, says_not_found, says_refused
from bakery.publish.image import AssembledImage, Child
from bakery.registry.settings import Settings
from bakery.retry import Clock, RetryPolicy, SystemClock
from bakery.tasks import together
from bakery.transfer.layout import REF_NAME, Layout, open_layout
from bakery.transfer.ledger import Ledger

if TYPE_CHECKING:
    from bakery.config.schema.options import SociOptions

_log = logging.getLogger(__name__)

COMMAND_TIMEOUT_S: Final = 900.0
COMMANDS_AT_ONCE: Final = 16  # each mostly waits for a registry
CONVERSIONS_AT_ONCE: Final = 2  # each takes a processor, and the image twice on disk
VERIFY_LIMIT_S: Final = 60.0
OLDEST: Final = {"oras": (1, 3), "soci": (0, 11)}
_NOTHING_TO_INDEX = "no ztocs created, all layers either skipped"
_DIGEST_LINE = re.compile(rb"^Digest: (\S+)$", re.MULTILINE)


class ProgramTooOld(ProgramMissing):
    """A program is there, and lacks what we ask of it."""


class CommandFailed(RegistryError):
    """oras or soci said no, for a reason that waiting does not cure."""


class CliEngine:
    """Publishes through oras and soci. Enter it once a run.

    context: the project, whose `tools/` may hold the programs. deadline: when the run's time is used up, on the clock.
    needs_soci: whether a target will be converted; soci is looked for only then.
    """

    def __init__(
        self,
        context: Path,
        *,
        settings: Settings,
        environment: Mapping[str, str] = os.environ,
        needs_soci: bool = False,
        policy: RetryPolicy | None = None,
        clock: Clock | None = None,
        emit: Emit = ignore,
        deadline: float | None = None,
    ) -> None:
        self._context, self._environment, self._needs_soci = context, environment, needs_soci
        self._oras, self._soci = Oras("oras", settings), "soci"
        self._settings = settings
        self._policy = policy or RetryPolicy.from_environment(environment)
        self._clock = clock or SystemClock()
        self._deadline = deadline

        def retries(event: Event) -> None:
            if isinstance(event, StepRetried):  # steps begin and end where the pipeline says so
                emit(event)

        self._around = Surroundings(retries, self._clock)
        self._exits = AsyncExitStack()
        self._small = asyncio.Semaphore(COMMANDS_AT_ONCE)
        self._heavy = asyncio.Semaphore(CONVERSIONS_AT_ONCE)
        self._files = itertools.count()

    async def __aenter__(self) -> Self:
        self._oras = Oras(find_program("oras", self._context, self._environment), self._settings)
        await self._check_version("oras", self._oras.version())
        if self._needs_soci:
            self._soci = find_program("soci", self._context, self._environment)
            await self._check_version("soci", (self._soci, "--version"))
        self._scratch = self._exits.enter_context(scratch_directory("bakery-cli-"))
        owner = await self._exits.enter_async_context(owning())
        self._once: Ledger[None] = Ledger(owner)
        self._blobs: Ledger[bool] = Ledger(owner)
        self._listings: Ledger[frozenset[str] | None] = Ledger(owner)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._exits.aclose()

    async def find(self, reference: DigestReference) -> RawManifest | None:
        file = self._scratch / f"{next(self._files)}.json"
        result = await self._ask(self._oras.describe(str(reference), file), "looking for", reference)
        if result is None:
            return None
        descriptor = _descriptor(result, reference)
        raw = file.read_bytes()
        file.unlink()
        if descriptor.digest != reference.digest:
            raise DigestMismatch("reading a manifest", about=reference, why=f"oras gave {descriptor.digest}")
        return RawManifest(descriptor, descriptor.check(raw, about=reference))

    async def read_manifest(self, repository: Repository, descriptor: Descriptor) -> bytes:
        reference = repository.with_digest(descriptor.digest)
        result = await self._do(self._oras.manifest(str(reference)), "reading a manifest", reference)
        return descriptor.check(result.stdout, about=reference)

    async def read_blob(self, repository: Repository, descriptor: Descriptor, *, limit_bytes: int) -> bytes:
        reference = repository.with_digest(descriptor.digest)
        if descriptor.size > limit_bytes:
            answer = f"{descriptor.size} bytes, more than the {limit_bytes} allowed"
            raise BadDocument("reading a blob", about=reference, why=answer)
        if descriptor.data is not None:
            return descriptor.data
        result = await self._do(self._oras.blob(str(reference)), "reading a blob", reference)
        return descriptor.check(result.stdout, about=reference)

    async def convert(
        self,
        image: AssembledImage,
        options: SociOptions,
        *,
        towards: Sequence[Repository],  # noqa: ARG002 - nothing overlaps here: oras copies what soci has finished
    ) -> AssembledImage:
        # soci reads a layout, so the image is needed whole in one place first, wherever its parts lie.
        home = image.children[0].origin
        strangers = {child.descriptor.digest: child for child in image.children if child.origin != home}
        await together(self._bring(child, home) for child in strangers.values())
        await self._make_index(image, home)
        with scratch_directory("soci-standalone-") as folder:
            source, result = folder / "src", folder / "out"
            reference = home.with_digest(image.digest)
            await self._do(self._oras.copy_to_layout(str(reference), source, "image"), "fetching for SOCI", reference)
            _keep_only_tagged(source / "index.json")
            async with self._heavy:
                done = await self._run(soci_convert(self._soci, options, source, result), retry=False)
            if not done.ok:
                said = done.stderr.decode(errors="replace")
                if _NOTHING_TO_INDEX in said and "error" not in said.replace("produced errors", ""):
                    note = "no layer is large enough for a SOCI index: published unconverted"
                    return AssembledImage(image.index, image.children, image.made, (*image.notes, note))
                raise self._failure(done, "converting to SOCI", reference)
            converted = _read_layout(result, home, image)
            target = home.with_digest(converted.digest)
            await self._do(
                self._oras.copy_from_layout(result, str(converted.digest), str(home)), "pushing the SOCI image", target
            )
        await self._once.once((home, converted.digest), _nothing)
        return converted

    async def stage(self, image: AssembledImage, repository: Repository) -> None:
        reference = repository.with_digest(image.digest)
        there = await self._is_there(reference)
        if there:
            # A blob that a registry lost under manifests that it kept counts as missing too (second wall).
            blobs = {blob.digest: blob for child in image.children for blob in child.manifest.blobs}
            children = [self._is_there(repository.with_digest(child.descriptor.digest)) for child in image.children]
            if all(await together([*children, *(self._has_blob(repository, digest) for digest in blobs)])):
                return
        await self._bring_image(image, repository, repair=there)
        wanted = [image.digest, *(child.descriptor.digest for child in image.children)]
        # The barrier of the second wall: all of it is read back before a tag may move.
        await together(self._await(repository.with_digest(digest)) for digest in dict.fromkeys(wanted))

    async def read_tags(self, repository: Repository, tags: Sequence[str]) -> Mapping[str, Digest | None]:
        names = await self._listings.once(repository, lambda: self._list_tags(repository))
        # One listing for all targets of a repository instead of a look for each tag: most are new.
        listed = [tag for tag in tags if names is None or tag in names]
        found = await together(self._read_tag(repository.with_tag(tag)) for tag in listed)
        return dict.fromkeys(tags) | dict(zip(listed, found, strict=True))

    async def _list_tags(self, repository: Repository) -> frozenset[str] | None:
        """Every tag of the repository; None where the registry does not say."""
        result = await self._run(self._oras.tags(str(repository)), missing_counts=True)
        if result.ok:
            return frozenset(result.stdout.decode(errors="replace").split())
        return frozenset() if says_not_found(result) else None

    async def _read_tag(self, reference: TagReference) -> Digest | None:
        result = await self._ask(self._oras.describe(str(reference)), "reading the tag", reference)
        return None if result is None else _descriptor(result, reference).digest

    async def tag(self, image: AssembledImage, reference: TagReference, *, previous: Digest | None) -> None:
        _log.debug("%s: %s -> %s", reference, previous, image.digest)
        staged = reference.repository.with_digest(image.digest)
        await self._do(self._oras.tag(str(staged), reference.tag), "moving the tag", reference)

    async def verify_tag(self, image: AssembledImage, reference: TagReference, *, previous: Digest | None) -> None:
        pause_s, found = 0.25, None
        limit = self._clock.now() + VERIFY_LIMIT_S
        while (found := await self._read_tag(reference)) != image.digest:
            if found not in (None, previous):
                raise DigestMismatch(
                    "verifying the tag",
                    about=reference,
                    why=f"expected {image.digest}, found {found}, which is neither ours nor what it was before",
                    hint="something else writes this tag; see which job does, and run again",
                )
            if self._clock.now() + pause_s > limit:
                raise Unavailable("verifying the tag", about=reference, why=f"it still names {found or 'nothing'}")
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 1.2, 5.0)

    async def remove_tag(self, reference: TagReference) -> bool:
        # `oras manifest delete REPO:TAG` deletes the manifest that the tag names, and with it every other tag.
        _log.debug("oras cannot delete the tag %s without its manifest", reference)
        return False

    async def _bring_image(self, image: AssembledImage, repository: Repository, *, repair: bool) -> None:
        homes = {child.origin for child in image.children}
        if len(homes) == 1:
            home = homes.pop()
            await self._make_index(image, home)
            if home != repository:
                source = str(home.with_digest(image.digest))
                # Without --force oras stops at an index that is there, and brings no child that is missing under it.
                command = self._oras.copy(source, str(repository), force=repair)
                await self._do(command, "copying to", repository.with_digest(image.digest))
            return
        await together(self._bring(child, repository) for child in image.children)
        await self._push_index(image, repository)

    async def _bring(self, child: Child, repository: Repository) -> None:
        source = child.origin.with_digest(child.descriptor.digest)

        async def copy() -> None:
            await self._do(self._oras.copy(str(source), str(repository)), f"copying to {repository}", source)

        if child.origin != repository:
            await self._once.once((repository, child.descriptor.digest), copy)

    async def _make_index(self, image: AssembledImage, home: Repository) -> None:
        """Have the index under its digest in the repository where its children are. Once, whoever needs it."""

        async def make() -> None:
            if _plain(image):
                annotations = views.parse(image.index.raw, about=image.digest).annotations
                digests = [str(child.descriptor.digest) for child in image.children]
                command = self._oras.create_index(str(home), digests, annotations)
                result = await self._do(command, "creating the index", home.with_digest(image.digest))
                made = _DIGEST_LINE.search(result.stdout)
                if made is not None and made[1].decode() == str(image.digest):
                    return
                _log.debug("oras made %s of the index %s", made and made[1], image.digest)
            await self._push_index(image, home)

        await self._once.once((home, image.digest), make)

    async def _push_index(self, image: AssembledImage, repository: Repository) -> None:
        reference = repository.with_digest(image.digest)
        file = self._scratch / f"{next(self._files)}.json"
        file.write_bytes(image.index.raw)
        media_type = image.index.descriptor.media_type
        await self._do(self._oras.push_manifest(str(reference), media_type, file), "pushing the index", reference)
        file.unlink()

    async def _is_there(self, reference: DigestReference) -> bool:
        return await self._ask(self._oras.describe(str(reference)), "looking for", reference) is not None

    async def _has_blob(self, repository: Repository, digest: Digest) -> bool:
        async def look() -> bool:
            reference = repository.with_digest(digest)
            return await self._ask(self._oras.describe_blob(str(reference)), "looking for", reference) is not None

        found = await self._blobs.once((repository, digest), look)
        if not found:
            self._blobs.forget((repository, digest))  # it is brought now
        return found

    async def _await(self, reference: DigestReference) -> None:
        await self._do(self._oras.describe(str(reference)), "reading back", reference)

    async def _ask(self, command: Command, doing: str, about: object) -> CommandResult | None:
        """Run a command; None where the answer is that there is no such thing, which is not asked again."""
        result = await self._run(command, missing_counts=True)
        if not result.ok and says_not_found(result):
            return None
        return self._sound(result, doing, about)

    async def _do(self, command: Command, doing: str, about: object) -> CommandResult:
        """Run a command on what must be there: "not found" is lag."""
        return self._sound(await self._run(command), doing, about)

    async def _run(self, command: Command, *, missing_counts: bool = False, retry: bool = True) -> CommandResult:
        def worth(result: CommandResult) -> bool:
            return looks_transient(result) and not (missing_counts and says_not_found(result))

        left_s = COMMAND_TIMEOUT_S
        if self._deadline is not None:
            left_s = min(left_s, self._deadline - self._clock.now())
            if left_s <= 0:
                raise BudgetSpent(
                    "running", about=command_line(command), hint="--time-budget sets how long a run may take"
                )
        policy = RetryPolicy(
            self._policy.max_attempts if retry else 1,
            self._policy.base_delay,
            self._policy.max_delay,
            self._policy.multiplier,
            self._policy.jitter,
            worth,
        )
        place = _Held(self._small)
        runner = CommandRunner(current_job.get() or "bakery", slot=place, retry=policy, surroundings=self._around)
        async with place:
            _log.debug("run %s", command_line(command))
            label = " ".join(word for word in command[1:4] if not word.startswith("-") and "/" not in word)
            return await runner.run(command, env=self._environment, timeout=left_s, step_label=label)

    def _sound(self, result: CommandResult, doing: str, about: object) -> CommandResult:
        if not result.ok:
            raise self._failure(result, doing, about)
        return result

    def _failure(self, result: CommandResult, doing: str, about: object) -> BakeryError:
        if result.exception is not None:
            return result.exception
        said = " | ".join(line.strip() for line in result.first_lines())
        answer = f"exit code {result.returncode} of {command_line(result.cmd)}: {said or 'no word'}"
        if says_refused(result):
            hint = "log in to this registry (docker login), or give the login the right to do this"
            return AuthError(doing, about=about, why=answer, hint=hint)
        if says_not_found(result):
            return NotFound(doing, about=about, status=404, why=answer)
        if looks_transient(result):
            return Unavailable(doing, about=about, why=answer, hint="run the same command again later")
        return CommandFailed(doing, about=about, why=answer)

    async def _check_version(self, name: str, command: Command) -> None:
        result = self._sound(await self._run(command, retry=False), "asking for the version of", command[0])
        found = re.search(rb"v?(\d+)\.(\d+)", result.stdout + result.stderr)
        if found is None:
            _log.debug("%s does not tell its version", command[0])  # one that was built from source, as soci often is
        elif (int(found[1]), int(found[2])) < OLDEST[name]:
            least = ".".join(map(str, OLDEST[name]))
            raise ProgramTooOld(
                "using",
                about=command[0],
                why=f"it is version {found[0].decode()}; {least} is the oldest that works",
                hint=f"install a newer {name}, or set {name.upper()}_PATH to one",
            )


class _Held:
    """A place of a semaphore that is given up while a command waits for its next attempt."""

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self._semaphore = semaphore

    async def __aenter__(self) -> None:
        await self._semaphore.acquire()

    async def __aexit__(self, *exception: object) -> None:
        self._semaphore.release()

    @asynccontextmanager
    async def released(self) -> AsyncIterator[None]:
        self._semaphore.release()
        try:
            yield
        finally:
            await self._semaphore.acquire()


async def _nothing() -> None:
    """What is to be done for something that is there already."""


def _descriptor(result: CommandResult, about: object) -> Descriptor:
    return Descriptor.from_json(canonical.parse_object(result.stdout, about=about), about=about)


def _plain(image: AssembledImage) -> bool:
    """Whether `oras manifest index create` says of each child all that our index says: type, digest, size, platform."""
    return all(
        child.descriptor == child.descriptor.bare().with_platform(child.descriptor.platform)
        and child.descriptor.platform is not None
        and not child.descriptor.platform.is_unknown
        and child.descriptor.media_type in (mt.OCI_MANIFEST, mt.DOCKER_MANIFEST)
        for child in image.children
    )


def _keep_only_tagged(file: Path) -> None:
    """Leave the tagged entry in a layout's index.json alone.

    `oras cp --to-oci-layout` lists the children beside it (1.3.6), and `soci convert` then takes them for images
    without platform: "manifest should have proper platform".
    """
    document: dict[str, Any] = json.loads(file.read_bytes())
    document["manifests"] = [entry for entry in document["manifests"] if REF_NAME in entry.get("annotations", {})]
    file.write_text(json.dumps(document))


def _read_layout(folder: Path, home: Repository, before: AssembledImage) -> AssembledImage:
    """The image that soci left in a layout."""

    with open_layout(folder) as layout:
        root = layout.top().manifests[0].bare()
        raw = _held(layout, root)
        index = views.parse(raw, media_type=root.media_type, about=root.digest)
        if not isinstance(index, Index):
            raise BadDocument("reading what soci made", about=root.digest, why="it is no index")
        children = []
        for entry in index.manifests:
            document = _held(layout, entry)
            manifest = views.parse(document, media_type=entry.media_type, about=entry.digest)
            if not isinstance(manifest, Manifest):
                raise BadDocument("reading what soci made", about=entry.digest, why="it is no manifest")
            children.append(Child(RawManifest(entry, document), manifest, home))
    notes = before.notes
    if any(is_attestation(child.descriptor) for child in before.children):
        notes = (*notes, "soci drops the annotations of attestations; the native engine keeps them")
    return AssembledImage(RawManifest(root, raw), tuple(children), notes=notes)


def _held(layout: Layout, descriptor: Descriptor) -> bytes:
    raw = layout.document(descriptor)
    if raw is None:
        raise BadDocument("reading what soci made", about=descriptor.digest, why="the layout does not hold it")
    return raw
