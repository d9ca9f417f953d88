"""Signing with the real cosign: every digest of an image at every destination, once, before any tag moves.

With a key, a digest that cosign can verify with it is not signed again. Keyless signatures cannot be recognized without
knowing whose they should be, so they are made again. Source: cosign 3.1; docs/signing.md.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from msgspec import Struct

from bakery.engines.argv import Command
from bakery.engines.commands import Commands
from bakery.events import ArtifactAdded, Emit
from bakery.oci.reference import DigestReference
from bakery.publish.outcome import SIGNATURE, ArtifactOutcome
from bakery.publish.sets import Staged
from bakery.registry.config import RegistryConfig
from bakery.registry.origin import api_origin
from bakery.tasks import each_to_its_end

_SIGN: Final = "sign"


class SignSettings(Struct, frozen=True):
    """How to sign. program: cosign. key: a file, or what else cosign takes; "" is keyless. options: added to `sign`."""

    program: str
    key: str = ""
    options: tuple[str, ...] = ()


class Cosign:
    """Signs images. Use it as a context manager: it holds the public key in a temporary file."""

    def __init__(self, settings: SignSettings, commands: Commands, config: RegistryConfig, emit: Emit) -> None:
        self._settings, self._commands, self._config, self._emit = settings, commands, config, emit
        self._folder = tempfile.TemporaryDirectory(prefix="bakery-cosign-")
        self._public: Path | None = None
        self._once: Mapping[DigestReference, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._key_lock = asyncio.Lock()
        self._signed: set[DigestReference] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._folder.cleanup()

    async def sign(self, staged: Staged) -> list[ArtifactOutcome]:
        """Sign the index and every manifest in it at one destination, and return their signatures.

        Raises BakeryError if one cannot be signed.
        """
        image = staged.image
        if image is None:
            return []
        contents = [image.index, *image.nested, *(child.content for child in image.children)]
        digests = dict.fromkeys(content.descriptor.digest for content in contents)
        await each_to_its_end(
            self._sign(staged.target.uid, staged.repository.with_digest(digest)) for digest in digests
        )
        return [ArtifactOutcome(digest, SIGNATURE) for digest in digests]

    async def _sign(self, uid: str, reference: DigestReference) -> None:
        async with self._once[reference]:  # two targets may have it
            if reference in self._signed:
                return
            if not await self._is_signed(reference):
                await self._commands.run(self._command(_SIGN, "--yes", reference=reference), _SIGN, reference)
                self._emit(ArtifactAdded(uid, str(reference), SIGNATURE))
            self._signed.add(reference)

    async def _is_signed(self, reference: DigestReference) -> bool:
        if not self._settings.key:
            return False
        public = await self._public_key()
        # Whether a transparency log has it is for those who verify: here it only decides whether to sign again.
        options = ("--insecure-ignore-tlog=true", "--key", str(public))
        result = await self._commands.attempt(self._command("verify", *options, reference=reference), retry=False)
        return result.ok

    async def _public_key(self) -> Path:
        async with self._key_lock:
            if self._public is None:
                key = self._settings.key
                is_local = "://" not in key or key.startswith("env://")  # others are read from a service
                result = await self._commands.attempt(
                    (self._settings.program, "public-key", "--key", key), retry=not is_local
                )
                self._commands.checked(result, "read the public key of", key, is_local=is_local)
                self._public = Path(self._folder.name) / "cosign.pub"
                self._public.write_bytes(result.stdout)
            return self._public

    def _command(self, action: str, *words: str, reference: DigestReference) -> Command:
        settings, registry = self._settings, reference.repository.registry
        access: Sequence[str] = ()
        if api_origin(registry, self._config.plain_http).scheme == "http":
            access = ("--allow-http-registry",)
        elif self._config.ca_file is not None:
            access = ("--registry-cacert", str(self._config.ca_file))
        if action == _SIGN:
            key = ("--key", settings.key) if settings.key else ()
            words = (*words, *key, *settings.options)
        return (settings.program, action, *access, *words, str(reference))
