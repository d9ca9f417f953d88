"""Read a repository: its manifests, what refers to them, and the times in image configs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Final

from bakery.clean.criteria import Criteria, Times
from bakery.clean.decision import Findings
from bakery.clean.distribution import LAG_S
from bakery.clean.items import Content, Item, read_content
from bakery.clean.known import Known
from bakery.clean.place import Place
from bakery.errors import AuthError, BadDocument, BakeryError, NotFound
from bakery.oci.annotation import parse_time
from bakery.oci.canonical import parse_object
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.tasks import together

if TYPE_CHECKING:
    from bakery.oci.manifest import RawManifest
    from bakery.registry.client import Client

MAX_MANIFESTS: Final = 200_000  # of one repository
_MAX_CONFIG_BYTES: Final = 4 * 1024 * 1024


class Surveyor:
    """Reads one repository, as often as needed: what has a digest is read once.

    known: what files name.
    """

    def __init__(self, place: Place, client: Client, criteria: Criteria, known: Known) -> None:
        self.place = place
        self._client, self._criteria, self._known = client, criteria, known
        self._named = known.of(place.repository)
        self._raw: dict[Digest, RawManifest] = {}
        self._configs: dict[Digest, datetime] = {}
        self._has_api: bool | None = False if place.lists_all else None  # the referrers API; None: not known yet

    async def survey(self) -> Findings | None:
        """Return what is in the repository now; None if it does not exist. Raises BakeryError if that is unknown."""
        listed = await self.place.items()
        if listed is None:
            return None
        contents, unreadable = await self._read(listed)
        items = {item.digest: item for item in listed}
        if not self.place.lists_all:  # what an index or the referrers API names is there, too
            items |= {digest: Item(digest) for digest in contents if digest not in items}
        if self._criteria.needs_times:
            await self._read_configs(items.values(), contents)
        times = Times(contents, self._configs, {digest: at for digest, at in self._named.items() if at is not None})
        named = self._named.keys() - self._known.kept
        leftovers = self._known.leftovers & named
        return Findings(self.place.repository, items, contents, unreadable, times, named, leftovers)

    async def _read(self, listed: Sequence[Item]) -> tuple[dict[Digest, Content], dict[Digest, BakeryError]]:
        """Read everything that is listed, and everything that it leads to. Errors are by digest."""
        contents: dict[Digest, Content] = {}
        unreadable: dict[Digest, BakeryError] = {}
        level: Collection[Digest] = dict.fromkeys(item.digest for item in listed)
        known = set(level)
        surely = set(level)
        while level:
            if len(known) > MAX_MANIFESTS:
                why = f"it has more than {MAX_MANIFESTS:,} manifests"
                raise BakeryError("cannot clean", about=self.place.repository, why=why)
            results = await together(self._content(digest, digest in surely) for digest in level)
            following: dict[Digest, None] = {}
            for digest, result in zip(level, results, strict=True):
                if isinstance(result, BakeryError):
                    unreadable[digest] = result
                    continue
                contents[digest] = result
                following |= dict.fromkeys((*(child.digest for child in result.children), *result.referrers))
            level = [digest for digest in following if digest not in known]
            known.update(level)
        return contents, unreadable

    async def _content(self, digest: Digest, is_listed: bool) -> Content | BakeryError:
        reference = self.place.repository.with_digest(digest)
        try:
            raw = self._raw.get(digest)
            if raw is None:
                within_s = LAG_S if is_listed else 0.0
                raw = await self._client.manifests.get(reference, must_exist=True, within_s=within_s)
                self._raw[digest] = raw
            return read_content(raw, await self._referrers(digest), about=reference)
        except AuthError:
            raise  # of no single manifest
        except BakeryError as error:
            return error

    async def _referrers(self, digest: Digest) -> tuple[Digest, ...]:
        """Return what the referrers API lists. Registries without it list the tags of fallback indexes."""
        if self._has_api is False:
            return ()
        reference = self.place.repository.with_digest(digest)
        if self._has_api is None:
            self._has_api = await self._client.listings.has_referrers_api(reference)
            if not self._has_api:
                return ()
        listed = await self._client.listings.referrers(reference)
        return tuple(entry.digest for entry in listed or ())

    async def _read_configs(self, items: Collection[Item], contents: Mapping[Digest, Content]) -> None:
        """Read when images were created, as far as that can matter."""
        wanted: dict[Digest, Descriptor] = {}
        for item in items:
            for digest in self._within(item.digest, contents):
                config = contents[digest].config
                if config is not None and config.digest not in self._configs:
                    wanted[config.digest] = config
        found = await together(self._created(config) for config in wanted.values())
        self._configs |= {digest: time for digest, time in zip(wanted, found, strict=True) if time is not None}

    @staticmethod
    def _within(digest: Digest, contents: Mapping[Digest, Content]) -> Sequence[Digest]:
        """Return a manifest and all below it that were read."""
        found = dict.fromkeys(one for one in (digest,) if one in contents)
        pending = list(found)
        for one in pending:
            children = (child.digest for child in contents[one].children)
            fresh = [child for child in children if child in contents and child not in found]
            found |= dict.fromkeys(fresh)
            pending += fresh
        return tuple(found)

    async def _created(self, config: Descriptor) -> datetime | None:
        """Return the time in an image config; None if it is unknown: then the image does not count as old."""
        reference = self.place.repository.with_digest(config.digest)
        if config.size > _MAX_CONFIG_BYTES:
            return None
        content = bytearray()
        try:
            chunks = self._client.blobs(self.place.repository).read(config, must_exist=False)
            async with aclosing(chunks):
                async for chunk in chunks:
                    content += chunk
            return parse_time(parse_object(bytes(content), about=reference).get("created"))
        except (NotFound, BadDocument):
            return None
