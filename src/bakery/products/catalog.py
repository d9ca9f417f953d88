"""Development versions and constraints, answered. Each source is asked once, side by side, and only when it is needed.

What cannot be found out is told and left out; for a matrix it is an error. Source: config.md 8 to 10.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bakery.config.project import Constraint, Dependency, DevSource, Image, Matrix, System, Version
from bakery.config.yaml.problem import Finding, Keys
from bakery.errors import UsageError, one_line
from bakery.products import channels, published
from bakery.products.channels import Offer, PinRefused
from bakery.products.fetch import Once, Source
from bakery.products.spec import DevSpec
from bakery.targets.catalog import LookupFailed

_REFUSED = 400  # this status and above


class _Found(Struct, frozen=True):
    """A resolved entry: its version, the systems that have it, and whether it is what the channel has now."""

    version: str
    systems: tuple[System, ...]
    head: bool = True


class ProductCatalog:
    """What product APIs say about the images of a project. `spec` pins a development version."""

    def __init__(self, source: Source, spec: DevSpec | None = None) -> None:
        self._ask = Once(source)
        self._spec = spec

    def prepare(self, images: Sequence[Image], *, matrices: Sequence[Matrix], channel: str | None) -> None:
        """Ask for all that the development versions of these images and these matrices need, side by side."""
        urls: list[str] = []
        for matrix in matrices:
            urls += self._constraint_urls(matrix.constraints)
        for image in images:
            for source in self._wanted(image, channel):
                urls += self._source_urls(image, source)
        self._ask.prefetch(urls)

    def constrained(self, matrix: Matrix) -> Mapping[str, tuple[str, ...]]:
        """The versions that the constraints mean. Raises LookupFailed, which ends a command that wants the rows."""
        return {one.dependency: published.resolve(one, self._ask) for one in matrix.constraints}

    def dev_versions(self, image: Image, channel: str | None) -> tuple[list[Version], list[Finding]]:
        """The development versions of an image, in order, and an entry for each that could not be found out."""
        versions: list[Version] = []
        findings: list[Finding] = []
        for source in self._wanted(image, channel):
            try:
                found = self._resolve(image, source, findings)
                if found is not None:
                    versions.append(self._version(image, source, found))
            except PinRefused:
                raise
            except LookupFailed as error:
                findings.append(_left_out(source.place, f"a development version of {image.name}", one_line(error)))
        return versions, findings

    def _wanted(self, image: Image, channel: str | None) -> Iterator[DevSource]:
        for source in image.dev_sources:
            if not channel or source.channel == channel:
                yield source

    def _pins(self, image: Image, source: DevSource) -> bool:
        """Whether the spec is about this entry. Raises UsageError where it may mean two entries of an image."""
        spec = self._spec
        if spec is None:
            return False
        candidates = [one for one in image.dev_sources if spec.channel in (None, one.channel)]
        if len(candidates) > 1:
            raise UsageError(
                "reading --dev-spec", about=image.name,
                why=f"{len(candidates)} development versions of this image may be meant",
                hint="name a `channel` that only one of them has, or narrow the command with --image-name",
            )  # fmt: skip
        return source in candidates

    def _constraint_urls(self, constraints: Iterable[Constraint]) -> list[str]:
        return [url for constraint in constraints for url in published.urls(constraint)]

    def _source_urls(self, image: Image, source: DevSource) -> list[str]:
        urls = [] if self._is_row(image, source) else self._constraint_urls(image.constraints)
        pinned = self._spec if self._pins(image, source) else None
        if not source.systems:
            return urls
        if source.dependency is not None:
            named = pinned is not None and pinned.version is not None
            return urls if named else [*urls, *published.urls(_newest(source))]
        manifest = channels.manifest_url(source.product or "", source.channel or "", self._branch(source, pinned))
        asked = manifest is not None and not (pinned and pinned.version and source.product == "package-manager")
        return [*urls, manifest] if manifest and asked else urls

    @staticmethod
    def _is_row(image: Image, source: DevSource) -> bool:
        """Whether an entry becomes a version like a row of the image's matrix."""
        return image.matrix is not None and source.dependency is not None

    @staticmethod
    def _branch(source: DevSource, spec: DevSpec | None) -> str:
        daily = source.product in ("workbench", "workbench-session") and source.channel != "release"
        return spec.dailies_branch if daily and spec is not None else "latest"

    def _resolve(self, image: Image, source: DevSource, findings: list[Finding]) -> _Found | None:
        if not source.systems:
            return None  # told when the file was read
        spec = self._spec if self._pins(image, source) else None
        if source.dependency is not None:
            return self._dependency(source, spec, findings)
        if spec is not None and spec.version is not None:
            return self._pinned(image, source, spec, findings)
        version = None
        systems = []
        for system in source.systems:
            offered = channels.offer(
                source.product or "", source.channel or "", system.build, self._ask, self._branch(source, spec)
            )
            if offered is None or channels.VERSION.fullmatch(offered.version) is None:
                findings.append(_not_offered(source, system, offered))
                continue
            version = version or offered.version
            systems.append(_with_url(system, offered))
        if version is None:
            raise LookupFailed(
                "resolving", about=f"{source.product} {source.channel}", why="the channel has none of its systems"
            )
        return _Found(version, tuple(systems))

    def _dependency(self, source: DevSource, spec: DevSpec | None, findings: list[Finding]) -> _Found:
        if spec is not None and spec.version is not None:
            return _Found(spec.version, source.systems, head=False)
        if spec is not None:
            text = f"`release_branch` of --dev-spec has no effect on the dependency {source.dependency}"
            findings.append(Finding(source.place, text, warning=True))
        return _Found(published.resolve(_newest(source), self._ask)[0], source.systems)

    def _pinned(self, image: Image, source: DevSource, spec: DevSpec, findings: list[Finding]) -> _Found:
        """The named version. The channel is looked at for the URL, and to know whether the version is its newest."""
        assert spec.version is not None
        systems: list[System] = []
        head = False
        for system in source.systems:
            try:
                current = channels.offer(
                    source.product or "", source.channel or "", system.build, self._ask, self._branch(source, spec)
                )
            except LookupFailed as error:
                # The version is known without the channel; what is not known is whether it is the newest there.
                text = f"{image.name} {spec.version} is taken as no channel head, without a download URL"
                findings.append(Finding(source.place, f"{text}: {one_line(error)}", warning=True))
                return _Found(spec.version, source.systems, head=False)
            if source.product == "package-manager":
                offered = channels.package_manager(spec.version, system.build)
            else:
                offered = channels.pinned(current, spec.version) if current is not None else None
            if offered is None:
                findings.append(_not_offered(source, system, None))
                continue
            status = self._ask.head(offered.url)
            if status >= _REFUSED:
                raise PinRefused(
                    "looking for the package of", about=f"{image.name} {spec.version}",
                    why=f"{status} for {offered.url}", hint="name a version that exists in --dev-spec",
                )  # fmt: skip
            head = head or (current is not None and current.version == spec.version)
            systems.append(_with_url(system, offered))
        if not systems:
            raise LookupFailed(
                "resolving", about=f"{source.product} {source.channel}", why="the channel has none of its systems"
            )
        return _Found(spec.version, tuple(systems), head)

    def _version(self, image: Image, source: DevSource, found: _Found) -> Version:
        row = self._is_row(image, source)
        systems = found.systems
        if len(systems) == 1 and not systems[0].primary:  # as in every list of one system
            systems = (replace(systems[0], primary=True),)
        if row:
            assert image.matrix is not None
            assert source.dependency is not None
            subpath, build_target = image.matrix.subpath, image.matrix.build_target
            dependencies: tuple[Dependency, ...] = (Dependency(source.dependency, (found.version,)),)
        else:
            subpath = f".dev-{found.version}".replace(" ", "-").lower()
            build_target = image.build_target
            dependencies = tuple(
                Dependency(one.dependency, published.resolve(one, self._ask)) for one in image.constraints
            )
        return Version(
            name=found.version,
            subpath=subpath,
            latest=False,
            systems=systems,
            dependencies=dependencies,
            values=source.values,
            repositories=source.repositories,
            build_target=build_target,
            place=source.place,
            development=True,
            matrix=row,
            channel=source.channel,
            channel_head=found.head,
        )


def _newest(source: DevSource) -> Constraint:
    return Constraint(source.dependency or "", True, None, None, None, source.prerelease)


def _with_url(system: System, offered: Offer) -> System:
    return replace(system, download_url=channels.for_platforms(offered.url, system.platforms))


def _left_out(place: Keys, what: str, reason: str) -> Finding:
    return Finding(place, f"{what} is left out: {reason}", warning=True)


def _not_offered(source: DevSource, system: System, offered: Offer | None) -> Finding:
    what = f"{source.product} {source.channel} for {system.name}"
    if offered is not None:
        return _left_out(source.place, what, f"{offered.version!r} does not look like N.N.N[-pre][+build]")
    return _left_out(source.place, what, "the channel does not offer it")
