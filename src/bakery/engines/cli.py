"""The cli engine: drives the real oras and soci, each command a tracked process. Implements publish.engine.Engine.

The index is created by digest in the repository of its builds and copied from there; only `oras tag` moves tags.
oras reads the logins from Docker's configuration; only whether one is missing is found out here.
Source: pipeline.md 5.2 to 5.7.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from bakery.engines.argv import Oras, soci_convert
from bakery.engines.commands import Commands
from bakery.engines.credential_helper import run_helper
from bakery.engines.layouts import Layouts
from bakery.engines.soci_program import keep_only_tagged, read_converted
from bakery.errors import BadDocument, DigestMismatch, NotFound, Unavailable
from bakery.events import Emit, ignore
from bakery.ledger import Ledger, owning
from bakery.oci import canonical
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.manifest import RawManifest
from bakery.oci.reference import (
    DigestReference,
    LayoutPath,
    LayoutReference,
    Repository,
    SourcePlace,
    SourceReference,
    TagReference,
)
from bakery.parallel.command import ONCE, CommandResult
from bakery.parallel.program import find_program
from bakery.parallel.root import scratch_directory
from bakery.parallel.transient import says_not_found
from bakery.polling import poll_delays
from bakery.publish.image import AssembledImage, Child
from bakery.registry.config import RegistryConfig
from bakery.registry.credentials import Credentials
from bakery.registry.loopback import over_tls
from bakery.retry import Clock, RetryPolicy, SystemClock
from bakery.tasks import together

if TYPE_CHECKING:
    from bakery.config.schema.options import SociOptions

_log = logging.getLogger(__name__)

CONVERSIONS_AT_ONCE: Final = 2  # each takes a processor, and twice the image's size on disk
VERIFY_LIMIT_S: Final = 60.0
_NOTHING_TO_INDEX = "no ztocs created, all layers either skipped"
_DIGEST_LINE = re.compile(rb"^Digest: (\S+)$", re.MULTILINE)


class CliEngine:
    """Publishes through oras and soci. Enter it once per run.

    context: the project, whose `tools/` may contain the programs. deadline: when the time budget ends, on the clock.
    needs_soci: whether a target will be converted; soci is looked up only then. registries: the names of those that the
    run uses, to find out which of them speak TLS on a loopback name.
    """

    def __init__(
        self,
        context: Path,
        *,
        config: RegistryConfig,
        environment: Mapping[str, str] = os.environ,
        needs_soci: bool = False,
        registries: Iterable[str] = (),
        policy: RetryPolicy | None = None,
        clock: Clock | None = None,
        emit: Emit = ignore,
        deadline: float | None = None,
    ) -> None:
        self._context, self._config = context, config
        self._environment, self._needs_soci, self._registries = environment, needs_soci, tuple(registries)
        self._oras, self._soci = Oras("oras", config), "soci"
        self._clock = clock or SystemClock()
        policy = policy or RetryPolicy.from_environment(environment)
        self._commands = Commands(environment, policy=policy, clock=self._clock, emit=emit, deadline=deadline)
        self._exits = AsyncExitStack()
        self._conversions = asyncio.Semaphore(CONVERSIONS_AT_ONCE)
        self._files = itertools.count()

    async def __aenter__(self) -> Self:
        program = find_program("oras", self._context, self._environment)
        self._oras = Oras(program, self._config, await over_tls(self._registries, self._config))
        await self._commands.check_version("oras", self._oras.version())
        if self._needs_soci:
            self._soci = find_program("soci", self._context, self._environment)
            await self._commands.check_version("soci", (self._soci, "--version"))
        self._scratch = self._exits.enter_context(scratch_directory("bakery-cli-"))
        self._layouts = self._exits.enter_context(Layouts())
        owner = await self._exits.enter_async_context(owning())
        self._copies: Ledger[None] = Ledger(owner)  # by DigestReference of the destination
        self._blobs: Ledger[bool] = Ledger(owner)
        self._listings: Ledger[frozenset[str] | None] = Ledger(owner)
        self._logins: Ledger[None] = Ledger(owner)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._exits.aclose()

    async def find(self, reference: SourceReference) -> RawManifest | None:
        if isinstance(reference, LayoutReference):
            return await self._layouts.root(reference)
        file = self._scratch / f"{next(self._files)}.json"
        result = await self._commands.query(self._oras.describe(str(reference), file), "read manifest", reference)
        if result is None:
            return None
        descriptor = _descriptor(result, reference)
        raw = file.read_bytes()
        file.unlink()
        if isinstance(reference, DigestReference) and descriptor.digest != reference.digest:
            why = f"oras returned {descriptor.digest}"
            raise DigestMismatch("cannot read manifest", about=reference, why=why)
        return RawManifest(descriptor, descriptor.check(raw, about=reference))

    async def read_manifest(self, origin: SourcePlace, descriptor: Descriptor) -> bytes:
        if isinstance(origin, LayoutPath):
            return await self._layouts.document(origin, descriptor)
        reference = origin.with_digest(descriptor.digest)
        result = await self._commands.run(self._oras.manifest(str(reference)), "read manifest", reference)
        return descriptor.check(result.stdout, about=reference)

    async def read_blob(self, origin: SourcePlace, descriptor: Descriptor, *, limit_bytes: int) -> bytes:
        reference = origin.with_digest(descriptor.digest)
        if descriptor.size > limit_bytes:
            why = f"it has {descriptor.size} bytes, more than the {limit_bytes} allowed"
            raise BadDocument("cannot read blob", about=reference, why=why)
        if descriptor.data is not None:
            return descriptor.data
        if isinstance(origin, LayoutPath):
            return await self._layouts.document(origin, descriptor)
        result = await self._commands.run(self._oras.blob(str(reference)), "read blob", reference)
        return descriptor.check(result.stdout, about=reference)

    async def convert(
        self,
        image: AssembledImage,
        options: SociOptions,
        *,
        towards: Sequence[Repository],  # nothing overlaps here: oras copies what soci has finished
    ) -> AssembledImage:
        # soci reads a layout, so the whole image must be in one repository first.
        first = image.children[0].origin
        home = first if isinstance(first, Repository) else towards[0]
        elsewhere = {child.descriptor.digest: child for child in image.children if child.origin != home}
        await together(self._copy(child, home) for child in elsewhere.values())
        await self._create_index(image, home)
        with scratch_directory("soci-standalone-") as folder:
            source, result = folder / "src", folder / "out"
            reference = home.with_digest(image.digest)
            command = self._oras.copy_to_layout(str(reference), source, "image")
            await self._commands.run(command, "fetch image for SOCI conversion", reference)
            keep_only_tagged(source)
            async with self._conversions:
                command = soci_convert(self._soci, options, source, result)
                done = await self._commands.attempt(command, retry=False)
            output = done.stderr.decode(errors="replace")
            if not done.ok and _NOTHING_TO_INDEX in output and "error" not in output.replace("produced errors", ""):
                note = "no layer is large enough for a SOCI index: published unconverted"
                return AssembledImage(image.index, image.children, image.made, (*image.notes, note))
            self._commands.checked(done, "convert to SOCI", reference)
            converted = read_converted(result, home, image)
            target = home.with_digest(converted.digest)
            command = self._oras.copy_from_layout(result, str(converted.digest), str(home))
            await self._commands.run(command, "push SOCI image", target)
        await self._copies.once(target, _nothing)
        return converted

    async def stage(self, image: AssembledImage, repository: Repository) -> bool:
        await self._logins.once(repository, lambda: self._check_login(repository))
        is_there = await self._has_manifest(repository.with_digest(image.digest))
        if is_there:
            # A blob that the registry lost under manifests that it kept counts as missing too (second invariant).
            blobs = {blob.digest: blob for child in image.children for blob in child.manifest.blobs}
            children = [self._has_manifest(repository.with_digest(child.descriptor.digest)) for child in image.children]
            if all(await together([*children, *(self._has_blob(repository.with_digest(digest)) for digest in blobs)])):
                return False
        await self._copy_image(image, repository, repair=is_there)
        wanted = dict.fromkeys((image.digest, *(child.descriptor.digest for child in image.children)))
        # The barrier before any tag: everything is read back.
        await together(self._read_back(repository.with_digest(digest)) for digest in wanted)
        return True

    async def read_tags(self, repository: Repository, tags: Sequence[str]) -> Mapping[str, Digest | None]:
        await self._logins.once(repository, lambda: self._check_login(repository))
        names = await self._listings.once(repository, lambda: self.list_tags(repository))
        # One listing for all targets of a repository instead of a query per tag: most are new.
        listed = [tag for tag in tags if names is None or tag in names]
        found = await together(self.read_tag(repository.with_tag(tag)) for tag in listed)
        return dict.fromkeys(tags) | dict(zip(listed, found, strict=True))

    async def tag(
        self,
        image: AssembledImage,
        reference: TagReference,
        *,
        previous: Digest | None,
        unmoved: bool = False,  # noqa: ARG002 - oras sends no conditions
    ) -> None:
        _log.debug("%s: %s -> %s", reference, previous, image.digest)
        staged = reference.repository.with_digest(image.digest)
        await self._commands.run(self._oras.tag(str(staged), reference.tag), "move tag", reference)

    async def read_tag(self, reference: TagReference) -> Digest | None:
        result = await self._commands.query(self._oras.describe(str(reference)), "read tag", reference)
        return None if result is None else _descriptor(result, reference).digest

    async def verify_tag(self, reference: TagReference, digest: Digest, *, previous: Digest | None) -> None:
        limit, delays = self._clock.now() + VERIFY_LIMIT_S, poll_delays()
        while (found := await self.read_tag(reference)) != digest:
            if found not in (None, previous):
                raise DigestMismatch(
                    "cannot verify tag",
                    about=reference,
                    why=f"expected {digest}, found {found}, which is neither the new nor the previous digest",
                    hint="check which other job writes this tag, then run again",
                )
            delay_s = next(delays)
            if self._clock.now() + delay_s > limit:
                why = f"it still names {found or 'nothing'} after {VERIFY_LIMIT_S:.0f} s"
                raise Unavailable("cannot verify tag", about=reference, why=why)
            await self._clock.sleep(delay_s)

    async def set_tag(self, reference: TagReference, digest: Digest) -> None:
        place = reference.repository.with_digest(digest)
        if await self.find(place) is None:
            raise NotFound("cannot set tag", about=reference, status=404, why=f"{place} is not there")
        await self._commands.run(self._oras.tag(str(place), reference.tag), "move tag", reference)

    async def remove_tag(self, reference: TagReference) -> bool:
        # `oras manifest delete REPO:TAG` deletes the manifest that the tag names, and every other tag with it.
        _log.debug("oras cannot delete the tag %s without its manifest", reference)
        return False

    def extend(self, seconds: float) -> None:
        self._commands.extend(seconds)

    async def _check_login(self, repository: Repository) -> None:
        """Raise AuthError if the registry requires a login and none is stored: oras would find out while it copies."""
        credentials = Credentials(self._config.credentials, run_helper)
        if await credentials.login_for(repository, push=True):
            return
        from bakery.registry.client import Client  # most runs have a login, and do not need it

        async with Client(config=self._config, policy=ONCE, clock=self._clock, run_helper=run_helper) as client:
            client.announce_writes((repository,))
            await client.listings.has_repository(repository)

    async def list_tags(self, repository: Repository) -> frozenset[str] | None:
        result = await self._commands.attempt(self._oras.tags(str(repository)), may_be_missing=True)
        if result.ok:
            return frozenset(result.stdout.decode(errors="replace").split())
        return frozenset() if says_not_found(result) else None

    async def _copy_image(self, image: AssembledImage, repository: Repository, *, repair: bool) -> None:
        homes = {child.origin for child in image.children}
        home = homes.pop()
        if homes or isinstance(home, LayoutPath) or image.is_single or image.nested:
            await together(self._copy(child, repository) for child in image.children)
            for inner in image.nested:
                await self._push_index(inner, repository)
            if not image.is_single:
                await self._push_index(image.index, repository)
            return
        await self._create_index(image, home)
        if home != repository:
            source = str(home.with_digest(image.digest))
            # Without --force, oras stops at an index that exists and copies no missing child of it.
            command = self._oras.copy(source, str(repository), force=repair)
            await self._commands.run(command, "copy image to", repository.with_digest(image.digest))

    async def _copy(self, child: Child, repository: Repository) -> None:
        origin, digest = child.origin, child.descriptor.digest
        source = origin.with_digest(digest)

        async def copy() -> None:
            if isinstance(origin, LayoutPath):
                command = self._oras.copy_from_layout(origin.path, str(digest), str(repository))
            else:
                command = self._oras.copy(str(source), str(repository))
            await self._commands.run(command, f"copy to {repository}", source)

        if child.origin != repository:
            await self._copies.once(repository.with_digest(child.descriptor.digest), copy)

    async def _create_index(self, image: AssembledImage, home: Repository) -> None:
        """Create the index under its digest in the repository of its children. Once per run."""
        reference = home.with_digest(image.digest)

        async def create() -> None:
            if _is_plain(image):
                annotations = views.parse(image.index.raw, about=image.digest).annotations
                digests = [str(child.descriptor.digest) for child in image.children]
                command = self._oras.create_index(str(home), digests, annotations)
                result = await self._commands.run(command, "create index", reference)
                made = _DIGEST_LINE.search(result.stdout)
                if made is not None and made[1].decode() == str(image.digest):
                    return
                _log.debug("oras created %s instead of %s", made and made[1], image.digest)
            await self._push_index(image.index, home)

        await self._copies.once(reference, create)

    async def _push_index(self, index: RawManifest, repository: Repository) -> None:
        reference = repository.with_digest(index.descriptor.digest)
        file = self._scratch / f"{next(self._files)}.json"
        file.write_bytes(index.raw)
        command = self._oras.push_manifest(str(reference), index.descriptor.media_type, file)
        await self._commands.run(command, "push index", reference)
        file.unlink()

    async def _has_manifest(self, reference: DigestReference) -> bool:
        command = self._oras.describe(str(reference))
        return await self._commands.query(command, "check for manifest", reference) is not None

    async def _has_blob(self, reference: DigestReference) -> bool:
        async def check() -> bool:
            command = self._oras.describe_blob(str(reference))
            return await self._commands.query(command, "check for blob", reference) is not None

        found = await self._blobs.once(reference, check)
        if not found:
            self._blobs.forget(reference)  # it is copied now
        return found

    async def _read_back(self, reference: DigestReference) -> None:
        await self._commands.run(self._oras.describe(str(reference)), "read back", reference)


async def _nothing() -> None:
    """The work for content that is already there."""


def _descriptor(result: CommandResult, about: object) -> Descriptor:
    return Descriptor.from_json(canonical.parse_object(result.stdout, about=about), about=about)


def _is_plain(image: AssembledImage) -> bool:
    """Whether `oras manifest index create` describes each child as our index does: type, digest, size, platform."""
    return all(
        child.descriptor == child.descriptor.bare().with_platform(child.descriptor.platform)
        and child.descriptor.platform is not None
        and not child.descriptor.platform.is_unknown
        and child.descriptor.media_type in (mt.OCI_MANIFEST, mt.DOCKER_MANIFEST)
        for child in image.children
    )
