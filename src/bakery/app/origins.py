"""`bakery publish`: choose where the plan comes from, and make it. Only files are read.

Options choose, never the environment: `--digests`, `--bake`, `--tag` and layouts are for images outside a project;
without them, a bakery.yaml in reach is published as `ci publish` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from bakery.app import planning
from bakery.app.planning import PublishRequest
from bakery.errors import ConfigurationError, InvalidContent, NothingSelected, UsageError
from bakery.events import Emit, Noted, ignore
from bakery.files import real_path
from bakery.text import plural

if TYPE_CHECKING:
    from bakery.plans.annotations import Annotations
    from bakery.plans.image import NamedSources
    from bakery.plans.overrides import Overrides
    from bakery.publish.plan import Destination, Plan, Source
    from bakery.targets.metadata import Metadata

_PROJECT_ONLY: Final = ("image_name", "shard", "dev_channel")  # and dev_spec, which may be in the environment


class OriginRequest(Struct, frozen=True):
    """What `bakery publish` is given besides the options of `ci publish`.

    digests, repositories: folders of digests, and the repository of each; in one repository for several folders,
    `{name}` stands for the name of the folder. bake: a bake file, or "-" for `stdin`. tag: `REPOSITORY[:TAG[,TAG…]]`.
    annotation: as buildx writes them. require_platform: exactly these. soci: convert every image. on_duplicate:
    which of two builds of one platform; None means the default.
    """

    digests: tuple[Path, ...] = ()
    repositories: tuple[str, ...] = ()
    bake: str = ""
    tag: tuple[str, ...] = ()
    annotation: tuple[str, ...] = ()
    require_platform: tuple[str, ...] = ()
    soci: bool = False
    on_duplicate: Literal["newest", "last", "refuse"] | None = None
    stdin: bytes = b""


def plan_publish(request: PublishRequest, origin: OriginRequest, *, emit: Emit = ignore) -> Plan | None:
    """Return the plan, or None if there is nothing to publish and that is not an error.

    Raises UsageError for options that exclude each other, and what the readers of files raise.
    """
    from bakery.plans.overrides import overridden

    wanted = _overrides(origin, emit)
    plan = _plan(request, origin, emit)
    return None if plan is None else overridden(plan, wanted)


def _plan(request: PublishRequest, origin: OriginRequest, emit: Emit) -> Plan | None:
    from bakery.plans.references import is_source

    direct = any(is_source(text) for text in request.metadata)
    if len(origin.repositories) > max(1, len(origin.digests)) or (origin.repositories and not origin.digests):
        raise UsageError("cannot use --from", why="each --from needs a folder of digests", hint="pass --digests DIR")
    if origin.digests and not origin.repositories:
        raise UsageError("missing --from", why="a digest does not say in which repository it is")
    if origin.digests and (origin.bake or request.metadata):
        raise UsageError("cannot combine --digests", why="it excludes --bake and other sources")
    if origin.bake and (direct or origin.tag):
        raise UsageError("cannot combine --bake", why="the bake file has the tags: it excludes --tag and other sources")
    if (project := project_of(request, origin)) is not None:
        _chosen(emit, f"the project {project}")
        if not request.metadata:
            why = "a project is published from the metadata files of its builds"
            raise UsageError("missing METADATA", why=why, hint="pass them, as in 'bakery publish metadata-*.json'")
        return planning.plan(request, emit=emit)
    for name in _PROJECT_ONLY:
        if getattr(request, name):
            option = "--" + name.replace("_", "-")
            raise UsageError(f"cannot use {option}", why="it selects targets of a bakery.yaml, and none is published")
    try:
        return _plan_images(request, origin, emit)
    except NothingSelected as error:
        if not request.allow_empty:
            raise
        emit(Noted("", f"nothing to publish: {error.why}"))
        return None
    except InvalidContent as error:
        raise UsageError(error.what, about=error.about, why=error.why, hint=error.hint) from error


def project_of(request: PublishRequest, origin: OriginRequest) -> Path | None:
    """Return the bakery.yaml that is published; None if something else is, or no bakery.yaml is in reach."""
    from bakery.config.load import project_in
    from bakery.plans.references import is_source

    outside = origin.digests or origin.bake or origin.tag or any(is_source(text) for text in request.metadata)
    return None if outside else project_in(request.context)


def _plan_images(request: PublishRequest, origin: OriginRequest, emit: Emit) -> Plan:
    from bakery.plans.image import RULES, image_targets
    from bakery.publish.plan import OnDuplicate, refuse_clashes

    if origin.bake:
        return _of_bake(request, origin, emit)
    if not origin.digests and not request.metadata:
        hint = "pass --digests DIR --from REPOSITORY, --bake FILE, metadata files, or a layout"
        raise UsageError("cannot tell what to publish", why=f"{request.context} has no bakery.yaml", hint=hint)
    places, annotations, tags_from = _tags(request, origin)
    images, words = _of_digests(origin, places) if origin.digests else _of_files(request)
    tags = plural(sum(len(place.tags) for place in places), "tag")
    _chosen(emit, f"{words}, with {tags} from {tags_from}")
    rules = replace(RULES, on_duplicate=OnDuplicate.REFUSE) if origin.digests else RULES  # files have no dates
    if origin.digests:
        targets = image_targets(images, places, annotations, rules=rules)
    else:
        by_target = "pass the bake file with --bake: it names the tags of each target in the metadata"
        targets = image_targets(images, places, annotations, rules=rules, otherwise=by_target)
    return refuse_clashes(targets, hint="give each image tags of its own")


def _of_digests(origin: OriginRequest, places: Sequence[Destination]) -> tuple[Sequence[NamedSources], str]:
    """Return the sources of each image, which may be called like its folder or like the end of its repository."""
    from bakery.oci.reference import Repository
    from bakery.plans.digests import folders_of_images, read_digests
    from bakery.plans.image import NamedSources

    folders, repositories = origin.digests, origin.repositories
    if len(folders) == 1:
        ends = {place.repository.path.rpartition("/")[2] for place in places}
        has_names = any("{name}" in text for text in repositories)
        folders = folders_of_images(folders[0], ends, must_split=has_names) or folders
    if len(repositories) not in (1, len(folders)):
        why = "expected one --from for each --digests, or only one"
        raise UsageError("cannot pair --digests and --from", why=why)
    if len(repositories) == 1:
        repositories = tuple(repositories[0].replace("{name}", real_path(folder).name) for folder in folders)
    images = []
    for folder, text in zip(folders, repositories, strict=True):
        repository = Repository.parse(text)
        names = (real_path(folder).name, repository.path.rpartition("/")[2])
        images.append(NamedSources(names, read_digests(folder, repository)))
    digests = plural(sum(len(image.sources) for image in images), "digest")
    where = f"of {repositories[0]} in {folders[0]}" if len(images) == 1 else f"of {len(images)} images"
    return images, f"{digests} {where}"


def _of_files(request: PublishRequest) -> tuple[Sequence[NamedSources], str]:
    """Return the sources of each image: of metadata files, layouts and references. Flat files are one image."""
    from bakery.app.sources import check_layouts, refuse_repeated
    from bakery.plans.image import NamedSources
    from bakery.plans.project import source_of
    from bakery.plans.references import is_source, parse_source
    from bakery.targets.metadata import FLAT

    direct = [text for text in request.metadata if is_source(text)]
    files = [text for text in request.metadata if text not in direct]
    images: dict[str, list[Source]] = {}
    if direct:
        images[FLAT] = [parse_source(text, Path.cwd()) for text in direct]
        refuse_repeated(direct, images[FLAT])
        check_layouts(images[FLAT])
    if files:
        metadata = _read_files(files)
        if problems := [reason for reasons in metadata.incomplete.values() for reason in reasons]:
            raise ConfigurationError("cannot use build metadata", why="; ".join(problems))
        for uid, results in metadata.results.items():
            images.setdefault(uid, []).extend(source_of(result) for result in results)
    if not images:
        raise NothingSelected("nothing to publish", why="the metadata files name no build")
    what = [plural(len(direct), "layout or reference", "layouts or references")] if direct else []
    what += [plural(len(files), "metadata file")] if files else []
    return [NamedSources((name,), tuple(sources)) for name, sources in images.items()], " and ".join(what)


def _tags(request: PublishRequest, origin: OriginRequest) -> tuple[tuple[Destination, ...], Annotations, str]:
    """Return destinations and annotations: of the options, else of docker/metadata-action; and where they are from."""
    from bakery.plans.annotations import Annotations, annotations_of_build
    from bakery.plans.tags import parse_destinations, read_metadata_action

    if origin.tag:
        return parse_destinations(origin.tag), Annotations(), "--tag"
    found = read_metadata_action(request.environment)
    if found is None:
        why = "neither --tag nor DOCKER_METADATA_OUTPUT_JSON names a destination"
        hint = "pass --tag REPOSITORY:TAG, or run docker/metadata-action in an earlier step"
        raise UsageError("missing --tag", why=why, hint=hint)
    try:
        places = parse_destinations(found.tags, option=found.source)
        return places, annotations_of_build(found.annotations), found.source
    except (UsageError, InvalidContent) as error:
        raise ConfigurationError(f"invalid value in {found.source}", about=error.about, why=error.why) from error


def _of_bake(request: PublishRequest, origin: OriginRequest, emit: Emit) -> Plan:
    from bakery.app.sources import read_bake_file
    from bakery.plans.bake import plan_bake

    name, targets = read_bake_file(origin.bake, origin.stdin)
    if not request.metadata:
        hint = "pass what `docker buildx bake --metadata-file` wrote"
        raise UsageError("missing METADATA", why="a bake file does not say what was built", hint=hint)
    metadata = _read_files(request.metadata, flat=False)
    plan = plan_bake(targets, metadata, file=name)
    if not plan.targets and not plan.refused:
        skipped = "; ".join(f"{item.uid}: {item.reason}" for item in plan.skipped)
        raise NothingSelected("nothing to publish", why=skipped or f"no metadata file has a target with tags of {name}")
    built = plural(len(plan.targets), "target")
    _chosen(emit, f"{built} of bake file {name}, with {plural(len(metadata.files), 'metadata file')}")
    return plan


def _read_files(arguments: Sequence[str], *, flat: bool = True) -> Metadata:
    from bakery.app.sources import refuse_misnamed
    from bakery.targets.metadata import find_files, read_metadata, unmatched

    refuse_misnamed(arguments, Path.cwd())
    if empty := unmatched(arguments, Path.cwd()):
        raise NothingSelected("nothing to publish", why=f"no file matches {' '.join(empty)}")
    return read_metadata(find_files(arguments, Path.cwd()), flat=flat)


def _overrides(origin: OriginRequest, emit: Emit) -> Overrides:
    from bakery.app.sources import check_platforms
    from bakery.plans.annotations import given_annotations
    from bakery.plans.overrides import Overrides
    from bakery.publish.plan import OnDuplicate

    check_platforms(origin.require_platform, emit)
    return Overrides(
        annotations=given_annotations(origin.annotation),
        platforms=origin.require_platform,
        soci=origin.soci,
        on_duplicate=OnDuplicate(origin.on_duplicate) if origin.on_duplicate else None,
    )


def _chosen(emit: Emit, words: str) -> None:
    emit(Noted("", f"Publishing {words}", warning=False))
