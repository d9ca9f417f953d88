"""Look up development versions and constraints. Every document is fetched once, concurrently, and only if needed.

A development version that cannot be looked up is left out, with a warning; for a matrix that is an error.
Source: config.md 8 to 10.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bakery.config.names import default_subpath
from bakery.config.project import Constraint, Dependency, DevSource, Image, Matrix, System, Version
from bakery.config.yaml.problem import Finding, Keys
from bakery.errors import UsageError, one_line
from bakery.products import channels, published
from bakery.products.channels import Offer, PinRefused
from bakery.products.pages import Pages, PageSource
from bakery.products.spec import DevSpec
from bakery.targets.catalog import LookupFailed


class _Found(Struct, frozen=True):
    """A resolved entry: its version, the systems that have it, and whether it is the newest of its channel."""

    version: str
    systems: tuple[System, ...]
    head: bool = True


class ProductCatalog:
    """A `VersionCatalog` that queries product APIs. spec: pins a development version."""

    def __init__(self, source: PageSource, spec: DevSpec | None = None) -> None:
        self._pages = Pages(source)
        self._spec = spec

    def prepare(self, images: Sequence[Image], *, matrices: Sequence[Matrix], channel: str | None) -> None:
        """Fetch, concurrently, everything that the development versions of these images and these matrices need."""
        urls: list[str] = []
        for matrix in matrices:
            urls += _constraint_urls(matrix.constraints)
        for image in images:
            for source in _of_channel(image, channel):
                urls += self._source_urls(image, source)
        self._pages.prefetch(urls)

    def constrained(self, matrix: Matrix) -> Mapping[str, tuple[str, ...]]:
        """Return the versions that satisfy a matrix's constraints, newest first, by dependency. Raises LookupFailed."""
        return {one.dependency: published.resolve(one, self._pages) for one in matrix.constraints}

    def dev_versions(self, image: Image, channel: str | None) -> tuple[list[Version], list[Finding]]:
        """Return the development versions of an image in order, and a finding for each that cannot be looked up.

        Raises PinRefused if a pinned version does not exist.
        """
        versions: list[Version] = []
        findings: list[Finding] = []
        for source in _of_channel(image, channel):
            try:
                found = self._resolve(image, source, findings)
                if found is not None:
                    versions.append(self._version(image, source, found))
            except PinRefused:
                raise
            except LookupFailed as error:
                findings.append(_left_out(source.place, f"a development version of {image.name}", one_line(error)))
        return versions, findings

    def _pin(self, image: Image, source: DevSource) -> DevSpec | None:
        """Return the spec if it pins this entry. Raises UsageError if it could pin two entries of the image."""
        spec = self._spec
        if spec is None:
            return None
        candidates = [one for one in image.dev_sources if spec.channel in (None, one.channel)]
        if len(candidates) > 1:
            raise UsageError(
                "ambiguous --dev-spec:", about=f"it applies to {len(candidates)} development versions of {image.name}",
                hint="add a `channel` that only one of them has, or limit the command with --image-name",
            )  # fmt: skip
        return spec if source in candidates else None

    def _source_urls(self, image: Image, source: DevSource) -> list[str]:
        """Return the URLs of the documents that an entry needs."""
        urls = [] if _is_row(image, source) else _constraint_urls(image.constraints)
        pin = self._pin(image, source)
        if not source.systems:
            return urls
        has_version = pin is not None and pin.version is not None
        if source.dependency is not None:
            return urls if has_version else [*urls, *published.urls(_newest(source))]
        if has_version and source.product == "package-manager":
            return urls
        manifest = channels.manifest_url(source.product or "", source.channel or "", _branch(source, pin))
        return [*urls, manifest] if manifest else urls

    def _resolve(self, image: Image, source: DevSource, findings: list[Finding]) -> _Found | None:
        if not source.systems:
            return None  # reported when the file was read
        pin = self._pin(image, source)
        if source.dependency is not None:
            return self._dependency(source, pin, findings)
        if pin is not None and pin.version is not None:
            return self._pinned(image, source, pin, pin.version, findings)
        version = None
        systems = []
        for system in source.systems:
            offered = self._offer(source, system, pin)
            if offered is None or channels.VERSION.fullmatch(offered.version) is None:
                findings.append(_not_offered(source, system, offered))
                continue
            version = version or offered.version
            systems.append(_with_url(system, offered))
        if version is None:
            raise _nothing_offered(source)
        return _Found(version, tuple(systems))

    def _dependency(self, source: DevSource, pin: DevSpec | None, findings: list[Finding]) -> _Found:
        if pin is not None and pin.version is not None:
            return _Found(pin.version, source.systems, head=False)
        if pin is not None:
            text = f"`release_branch` of --dev-spec does not apply to the dependency {source.dependency}"
            findings.append(Finding(source.place, text, warning=True))
        return _Found(published.resolve(_newest(source), self._pages)[0], source.systems)

    def _pinned(self, image: Image, source: DevSource, pin: DevSpec, version: str, findings: list[Finding]) -> _Found:
        """Return the pinned version. The channel is queried for the URL, and whether the version is its newest."""
        systems: list[System] = []
        head = False
        for system in source.systems:
            try:
                current = self._offer(source, system, pin)
            except LookupFailed as error:
                # The version is known without the channel; whether it is the newest one is not.
                text = f"{image.name} {version} gets no tags of its channel and no download URL: {one_line(error)}"
                findings.append(Finding(source.place, text, warning=True))
                return _Found(version, source.systems, head=False)
            if source.product == "package-manager":
                offered = channels.package_manager(version, system.build)
            else:
                offered = channels.pinned(current, version) if current is not None else None
            if offered is None:
                findings.append(_not_offered(source, system, None))
                continue
            status = self._pages.status(offered.url)
            if status >= 400:
                raise PinRefused(
                    "cannot find the package of", about=f"{image.name} {version}",
                    why=f"status {status} for {offered.url}", hint="name an existing version in --dev-spec",
                )  # fmt: skip
            head = head or (current is not None and current.version == version)
            systems.append(_with_url(system, offered))
        if not systems:
            raise _nothing_offered(source)
        return _Found(version, tuple(systems), head)

    def _offer(self, source: DevSource, system: System, pin: DevSpec | None) -> Offer | None:
        return channels.offer(
            source.product or "", source.channel or "", system.build, self._pages, _branch(source, pin)
        )

    def _version(self, image: Image, source: DevSource, found: _Found) -> Version:
        systems = found.systems
        if len(systems) == 1:  # as in every list of systems
            systems = (systems[0].as_primary(),)
        version = Version(
            name=found.version,
            subpath=default_subpath(f".dev-{found.version}"),
            latest=False,
            systems=systems,
            dependencies=(),
            values=source.values,
            repositories=source.repositories,
            build_target=image.build_target,
            place=source.place,
            development=True,
            channel=source.channel,
            channel_head=found.head,
        )
        if image.matrix is not None and source.dependency is not None:
            return replace(
                version,
                subpath=image.matrix.subpath,
                build_target=image.matrix.build_target,
                dependencies=(Dependency(source.dependency, (found.version,)),),
                matrix=True,
            )
        constraints = image.constraints
        dependencies = [Dependency(one.dependency, published.resolve(one, self._pages)) for one in constraints]
        return replace(version, dependencies=tuple(dependencies))


def _of_channel(image: Image, channel: str | None) -> Iterator[DevSource]:
    for source in image.dev_sources:
        if not channel or source.channel == channel:
            yield source


def _is_row(image: Image, source: DevSource) -> bool:
    """Return whether an entry becomes a version like a row of the image's matrix."""
    return image.matrix is not None and source.dependency is not None


def _branch(source: DevSource, pin: DevSpec | None) -> str:
    daily = source.product in ("workbench", "workbench-session") and source.channel != "release"
    return pin.dailies_branch if daily and pin is not None else "latest"


def _constraint_urls(constraints: Iterable[Constraint]) -> list[str]:
    return [url for constraint in constraints for url in published.urls(constraint)]


def _newest(source: DevSource) -> Constraint:
    return Constraint(source.dependency or "", True, None, None, None, source.prerelease)


def _with_url(system: System, offered: Offer) -> System:
    return replace(system, download_url=channels.for_platforms(offered.url, system.platforms))


def _left_out(place: Keys, what: str, reason: str) -> Finding:
    return Finding(place, f"{what} is left out: {reason}", warning=True)


def _not_offered(source: DevSource, system: System, offered: Offer | None) -> Finding:
    what = f"{source.product} {source.channel} for {system.name}"
    if offered is not None:
        return _left_out(source.place, what, f"expected a version like N.N.N[-pre][+build], got {offered.version!r}")
    return _left_out(source.place, what, "the channel does not offer it")


def _nothing_offered(source: DevSource) -> LookupFailed:
    return LookupFailed(
        "cannot find", about=f"{source.product} {source.channel}", why="the channel offers none of its systems"
    )
