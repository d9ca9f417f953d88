"""What a command line names is looked at before anything is done, so that what is wrong is reported at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.errors import ConfigurationError, InvalidContent, MetadataError, UsageError
from bakery.events import Emit, Noted
from bakery.files import is_file, is_folder, is_there, read_regular
from bakery.oci.reference import LayoutReference, TagReference, parse_reference
from bakery.plans.references import check_there, is_source

if TYPE_CHECKING:
    from bakery.plans.bake import BakeTarget
    from bakery.publish.plan import Source
    from bakery.transfer.layout import Layout

_WHAT = "invalid source"


def read_bake_file(file: str, stdin: bytes) -> tuple[str, tuple[BakeTarget, ...]]:
    """Return what a bake file is called in messages, and its targets. file: "-" is `stdin`.

    Raises ConfigurationError for a file that cannot be used.
    """
    from bakery.plans.bake import MAX_BYTES, read_bake

    if file == "-":
        return "standard input", read_bake(stdin, about="standard input")
    try:
        content = read_regular(Path(file), limit_bytes=MAX_BYTES, stream=True)
    except OSError as error:
        raise ConfigurationError("cannot read bake file", about=file, why=error.strerror or str(error)) from error
    return file, read_bake(content, about=file)


def check_platforms(texts: Iterable[str], emit: Emit) -> None:
    """Raise UsageError for a text of --require-platform that is not a platform; note a word that Go does not know."""
    from bakery.oci.platform import Platform, unknown_words

    for text in texts:
        try:
            parsed = Platform.parse(text)
        except InvalidContent as error:
            raise UsageError("invalid value for --require-platform", about=error.about, why=error.why) from error
        for word, nearest in unknown_words(parsed):
            meant = f"; did you mean {nearest}?" if nearest else ""
            emit(Noted("", f"--require-platform {text}: {word!r} is not a system or architecture that Go knows{meant}"))


def check_layouts(sources: Iterable[Source]) -> None:
    """Raise MetadataError for a source that is not a layout, or that does not have the one image that is wanted.

    Only its mark and its index are read; blobs are checked when they are.
    """
    named = dict.fromkeys(source.reference for source in sources if isinstance(source.reference, LayoutReference))
    for reference in named:
        try:
            with open_usable(Path(reference.layout.path)) as layout:
                layout.root(reference.select)
        except InvalidContent as error:
            raise _unusable(error) from error


def open_usable(path: Path) -> Layout:
    """Open a layout. Raises MetadataError if it is not one."""
    from bakery.transfer.layout import open_layout  # most runs read none

    check_there(path)
    try:
        return open_layout(path)
    except InvalidContent as error:
        raise _unusable(error) from error


def _unusable(error: InvalidContent) -> MetadataError:
    from bakery.transfer.layout import BadLayout

    code = BadLayout.error_code
    return MetadataError(error.what, about=error.about, why=error.why, hint=error.hint, error_code=code)


def refuse_repeated(texts: Sequence[str], sources: Sequence[Source]) -> None:
    """Raise UsageError if two of the texts name the same source: then another one is probably missing."""
    seen = dict[object, str]()
    for text, source in zip(texts, sources, strict=True):
        if before := seen.get(source.reference):
            why = "it is given twice" if text == before else f"it is {before} again"
            raise UsageError(_WHAT, about=text, why=why, hint="name each build once")
        seen[source.reference] = text


def refuse_misnamed(texts: Iterable[str], base: Path) -> None:
    """Raise UsageError for a text that is given as a metadata file, and is a layout or a reference.

    base: the folder of relative paths.
    """
    for text in texts:
        path = base / text
        if is_folder(path):
            layout = is_there(path / "oci-layout")
            hint = _publish(f"oci-layout:{text}") if layout else f"name the files, as in '{text}/*'"
            raise UsageError(_WHAT, about=text, why="it is a folder", hint=hint)
        if is_file(path) and not text.endswith(".json") and _is_tar(path):
            raise UsageError(_WHAT, about=text, why="it is a tar", hint=_publish(f"oci-archive:{text}"))
        if is_there(path):
            continue
        if is_source(text):
            why = "expected build metadata files"
            raise UsageError(_WHAT, about=text, why=why, hint=_publish(text))
        if _is_tag(text):
            why = "no file has this name, and a reference must have a digest, since a tag may move"
            hint = "run 'bakery imagetools inspect' for the digest, or 'bakery imagetools create' for sources by tag"
            raise UsageError(_WHAT, about=text, why=why, hint=hint)


def _publish(source: str) -> str:
    return f"publish a layout or a digest with 'bakery publish --tag REPOSITORY:TAG {source}'"


def _is_tar(path: Path) -> bool:
    import tarfile  # slow to import; metadata files end in .json

    try:
        return tarfile.is_tarfile(path)
    except OSError:
        return False  # reading it as metadata reports why


def _is_tag(text: str) -> bool:
    try:
        return isinstance(parse_reference(text), TagReference)
    except InvalidContent:
        return False
