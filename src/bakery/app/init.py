"""Starting a project: what a folder and its git repository suggest, and the first files. Source: commands.md 3.1."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from bakery.config.remote import image_name, label_namespace, registry_of_forge, web_address
from bakery.config.unfinished import PLACEHOLDER_HOST
from bakery.errors import BadReference, BakeryError, UsageError
from bakery.events import Emit, Noted, ignore
from bakery.files import is_file

if TYPE_CHECKING:
    from bakery.config.project import ProjectRegistry

_CONTAINERFILE, _DOCKERFILE = "Containerfile", "Dockerfile"


class Answers(Struct, frozen=True):
    """What a new project is to say. An empty value is unknown.

    registries: `host/namespace` or `host`. maintainer: `Name <address>`.
    """

    url: str = ""
    vendor: str = ""
    maintainer: str = ""
    registries: tuple[str, ...] = ()
    image: str = ""


class Started(Struct, frozen=True):
    """The files that were written, relative to the folder, and a sentence for each thing that is left open."""

    written: tuple[str, ...]
    open_ends: tuple[str, ...]


def check_new(context: Path) -> None:
    """Raise BakeryError if the folder has a bakery.yaml already."""
    from bakery.config.load import project_in

    if (found := project_in(context)) is not None:
        hint = "run `bakery check` to see what it defines"
        raise BakeryError("cannot start a project", why=f"{found} already exists", hint=hint)


def suggestions(context: Path, given: Answers) -> Answers:
    """Return the given answers, with what git and the folder suggest in place of the missing ones.

    Raises UsageError for a given answer that is invalid.
    """
    url = checked_url(given.url) if given.url else _remote_url(context)
    name, email = (_git(context, "config", "--get", key) for key in ("user.name", "user.email"))
    return Answers(
        url=url,
        vendor=given.vendor or name,
        maintainer=checked_person(given.maintainer) if given.maintainer else _person_of(name, email),
        registries=tuple(checked_registry(text) for text in given.registries) or _registry_of(url),
        image=checked_image(given.image) if given.image else _image_name(url, context),
    )


def start_project(context: Path, answers: Answers, *, emit: Emit = ignore) -> Started:
    """Write bakery.yaml, and a Containerfile if the folder has none; nothing is overwritten.

    Raises BakeryError if bakery.yaml exists or a file cannot be written.
    """
    from bakery.config.load import parse_project
    from bakery.targets.expand import check_expansion
    from bakery.templates.new_project import NewProject, example_containerfile, project_text

    check_new(context)
    existing = _existing_containerfile(context)
    url = answers.url or f"https://{PLACEHOLDER_HOST}/repository"
    new = NewProject(
        url=url,
        vendor=answers.vendor,
        maintainer=answers.maintainer,
        label_namespace=label_namespace(url),
        registries=tuple(_registry(text) for text in answers.registries or (f"{PLACEHOLDER_HOST}/namespace",)),
        image=answers.image,
        in_place=bool(existing),
    )
    text = project_text(new)
    project = parse_project(text, context, "bakery.yaml", strict=True)  # before anything is written
    check_expansion(project, strict=True)
    written = []
    if existing == _DOCKERFILE:
        _link(context / _CONTAINERFILE, _DOCKERFILE)
        emit(Noted("", f"{_CONTAINERFILE} is a link to {_DOCKERFILE}: Bakery builds files of that name"))
        written.append(_CONTAINERFILE)
    elif not existing and not os.path.lexists(context / new.example_path):
        _write(context / new.example_path, example_containerfile(new))
        written.append(new.example_path)
    _write(context / "bakery.yaml", text)
    return Started((*written, "bakery.yaml"), tuple(_open_ends(answers)))


def _open_ends(answers: Answers) -> Iterator[str]:
    if not answers.url:
        yield "bakery.yaml has a placeholder for the repository's URL: no git remote has a web address"
    if not answers.registries:
        yield "bakery.yaml has a placeholder for the registry: replace it before you publish"
    for key in ("vendor", "maintainer"):
        if not getattr(answers, key):
            yield f"bakery.yaml names no {key}: images get no such label"


def checked_url(text: str) -> str:
    """Return the URL of a repository without login and `.git`, as https. Raises UsageError."""
    url = web_address(text)
    if not url:
        why = f"expected the URL of a repository, such as https://github.com/acme/images, got {text!r}"
        raise UsageError("invalid value for --url", why=why)
    return url


def checked_person(text: str) -> str:
    """Return a person as `Name <address>`. Raises UsageError."""
    from bakery.config.schema.mismatch import WrongValue
    from bakery.config.schema.person import person

    try:
        return str(person(text))
    except WrongValue as error:
        raise UsageError("invalid value for --maintainer", why=str(error)) from error


def checked_registry(text: str) -> str:
    """Return `host` or `host/namespace` of a registry. Raises UsageError."""
    host = text.partition("/")[0]
    if not ("." in host or ":" in host or host == "localhost"):
        why = f"expected HOST or HOST/NAMESPACE, such as ghcr.io/acme, got {text!r}"
        raise UsageError("invalid value for --registry", why=why)
    return _checked("--registry", text.rstrip("/"), lambda: _registry(text.rstrip("/")).destination("image"))


def checked_registries(text: str) -> str:
    """Return registries separated by blanks or commas, separated by single blanks. Raises UsageError."""
    return " ".join(checked_registry(one) for one in text.replace(",", " ").split())


def checked_image(text: str) -> str:
    """Return the name of an image. Raises UsageError."""
    if "/" in text:
        raise UsageError("invalid value for --image", why=f"expected a name without /, got {text!r}")
    return _checked("--image", text, lambda: f"localhost/{text}")


def _checked(option: str, text: str, reference: Callable[[], str]) -> str:
    from bakery.oci.reference import Repository

    try:
        Repository.parse(reference())
    except BadReference as error:
        raise UsageError(f"invalid value for {option}", why=f"{text!r}: {error.why}") from error
    return text


def _remote_url(context: Path) -> str:
    """Return the web address of the remote `origin`, or of the first one; "" without one."""
    remotes = _git(context, "remote").split()
    if not remotes:
        return ""
    return web_address(_git(context, "remote", "get-url", "origin" if "origin" in remotes else remotes[0]))


def _git(context: Path, *arguments: str) -> str:
    """Return what a command of git prints, or "" if it fails. Only for commands that read the configuration.

    A repository of another owner, which is common in containers, may be read: nothing of it is run.
    """
    from bakery.app.git import run_git
    from bakery.config.git import GitFailed

    try:
        return run_git(context, ("-c", "safe.directory=*", *arguments)).decode("utf-8", "replace").strip()
    except GitFailed:
        return ""


def _image_name(url: str, context: Path) -> str:
    """Return a name for the first image: that of the repository, or of the folder if it is one of several in it."""
    is_part = bool(_git(context, "rev-parse", "--show-prefix"))
    return image_name("" if is_part else url, context.absolute().name)


def _person_of(name: str, email: str) -> str:
    """Return git's user as `Name <address>`, or "" if that is not a person that bakery.yaml may name."""
    try:
        return checked_person(f'"{name}" <{email}>' if name else email) if email else ""
    except UsageError:
        return ""


def _registry_of(url: str) -> tuple[str, ...]:
    try:
        return (checked_registry(registry),) if (registry := registry_of_forge(url)) else ()
    except UsageError:
        return ()


def _registry(text: str) -> ProjectRegistry:
    from bakery.config.project import ProjectRegistry

    host, _, namespace = text.partition("/")
    return ProjectRegistry(host, namespace or None)


def _existing_containerfile(context: Path) -> str:
    return next((name for name in (_CONTAINERFILE, _DOCKERFILE) if is_file(context / name)), "")


def _link(path: Path, target: str) -> None:
    try:
        path.symlink_to(target)
    except OSError as error:
        raise BakeryError("cannot write", about=path, why=str(error.strerror)) from error


def _write(path: Path, text: str) -> None:
    """Write a file that must not exist yet; its folders are made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BakeryError("cannot write", about=path, why=str(error.strerror)) from error
