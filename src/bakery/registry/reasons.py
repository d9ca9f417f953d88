"""Why a server refused a request: its own words, safe to show, and the reasons that are known by them. Pure.

Source: registry.md 6; the words of registries in public reports.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, Final

from bakery.oci.reference import Repository
from bakery.registry.http.message import HttpResponse
from bakery.text import clean

MAX_ERROR_BYTES: Final = 64 * 1024
_MAX_WORDS: Final = 300  # characters
_MAX_DEPTH: Final = 6
_SENTENCE_KEYS: Final = frozenset(
    {"message", "detail", "details", "description", "reason", "error", "errors", "error_description", "cause", "title"}
)
_DIGEST_ONLY: Final = re.compile(r"[a-z0-9]{2,10}:[0-9a-f]{32,128}")
_TITLE: Final = re.compile(r"<(?:title|h1)[^>]*>([^<]{1,200})", re.IGNORECASE)
_XML_WORDS: Final = re.compile(r"<(?:Message|Details?)>([^<]{1,300})<")  # of object storage
_CUT_WORDS: Final = re.compile(r'"(?:message|detail|error)"\s*:\s*("(?:[^"\\]|\\.){1,300}")', re.IGNORECASE)
_MAX_CUT: Final = 4096  # characters of truncated JSON that are searched
_CHARSET: Final = re.compile(r"charset=[\s\"']*([a-z0-9-]+)")
_CHARSETS: Final = {"utf-16": "utf-16", "iso-8859-1": "latin-1", "latin1": "latin-1", "windows-1252": "cp1252"}


_ECR: Final = re.compile(r"[0-9]{12}\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)")
_GOOGLE: Final = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev")


class Known(Enum):
    """A reason that needs a sentence and a hint of its own."""

    DISK_FULL = "disk full"
    QUOTA = "quota"
    IMMUTABLE = "immutable"
    NO_REPOSITORY = "no repository"
    READ_ONLY = "read-only"


_KNOWN: Final = {
    Known.DISK_FULL: re.compile(
        r"no space left on|\bENOSPC\b|disk (?:is )?full|disk quota exceeded|insufficient storage|XMinioStorageFull"
        r"|not enough (?:disk )?space|storage (?:backend )?(?:has )?reached its minimum free",
        re.IGNORECASE,
    ),
    Known.QUOTA: re.compile(
        r"quota|(?:storage|size|repositor(?:y|ies)|plan|usage|package|private)[^.]{0,60}\blimit\b"
        r"|\blimit is \d|limit (?:has been )?(?:reached|exceeded)|exceed(?:s|ed)?[^.]{0,40}(?:upper|storage|plan) limit"
        r"|upgrade (?:your|the) (?:plan|subscription)|payment required",
        re.IGNORECASE,
    ),
    Known.IMMUTABLE: re.compile(
        r"immutab|(?:tag|image)[^.]{0,200}(?:cannot|can not|can't|may not|must not)[^.]{0,20} "
        r"(?:be )?(?:overw|overr|mov|updat|chang)|tag[^.]{0,80} (?:is|are) (?:protected|locked)"
        r"|(?:overwrit|redeploy)[^.]{0,60}(?:not allowed|disabled|forbidden)",
        re.IGNORECASE,
    ),
    Known.READ_ONLY: re.compile(  # but not a login or a token that may only read
        r"\bread[- ]only (?:mode|state)|(?:maintenance|migration) mode|under maintenance|(?:is|are|been) archived"
        r"|(?:registry|system|server|project|repository|instance)[^.]{0,30}(?:is|are|in)(?: \w+)? read[- ]only"
        r"(?! (?:access|token|permission|role))",
        re.IGNORECASE,
    ),
    Known.NO_REPOSITORY: re.compile(
        r"repositor(?:y|ies)\b[^.]{0,200}(?:does not|doesn't|do not) exist|no such repository|name unknown"
        r"|repositor(?:y|ies)[^.]{0,120} not (?:be )?found|project[^.]{0,120} (?:not found|does not exist)",
        re.IGNORECASE,
    ),
}


def known_reason(response: HttpResponse) -> Known | None:
    """Return the reason that a refusal's words state, if it is one of the known ones."""
    words = words_of(response)
    if response.status == 507 or _KNOWN[Known.DISK_FULL].search(words):
        return Known.DISK_FULL
    if not 400 <= response.status < 500 or response.status == 429:
        return None
    if response.status == 402:
        return Known.QUOTA
    by_words = (Known.IMMUTABLE, Known.QUOTA, Known.READ_ONLY, Known.NO_REPOSITORY)
    return next((known for known in by_words if _KNOWN[known].search(words)), None)


def words_of(response: HttpResponse, *, json_only: bool = False) -> str:
    """Return what a response says, as one line of at most 300 characters without secrets; "" if it says nothing.

    Reads the OCI error list, other JSON, plain text, the XML of object storage, and the title of a web page. json_only:
    nothing but the sentences of JSON, since token services have echoed secrets. Never raises.
    """
    body = _text_of(response)
    if not body:
        return ""
    if body[0] in '{["':
        try:
            said = list(dict.fromkeys(_sentences(json.loads(body), is_said=False)))
        except (ValueError, RecursionError):
            said = [] if json_only else [_unquoted(words) for words in _CUT_WORDS.findall(body[:_MAX_CUT])]
            if not said:
                return "" if json_only else _unread(response)
        # The detail often repeats the message, or only a part of it.
        return _safe("; ".join(one for one in said if not any(one in other for other in said if other != one)))
    if json_only:
        return ""
    if body[0] == "<":
        return _words_of_markup(body) or _unread(response)
    if "\ufffd" not in body and "\0" not in body:  # text, whatever type a proxy gives it
        return _safe(body.removeprefix(str(response.status)))
    return _unread(response)


def _text_of(response: HttpResponse) -> str:
    charset = _CHARSET.search(response.header("Content-Type").lower())
    encoding = _CHARSETS.get(charset[1], "utf-8") if charset is not None else "utf-8"
    return response.body[:MAX_ERROR_BYTES].decode(encoding, "replace").strip().removeprefix("\ufeff")


def _words_of_markup(body: str) -> str:
    if found := _XML_WORDS.search(body):
        return _safe(html.unescape(found[1]))
    title = _TITLE.search(body)
    text = " ".join(html.unescape(title[1]).split()) if title else ""
    return _safe(f"web page '{text}'") if text else ""


def _unquoted(text: str) -> str:
    """Return the string that a piece of JSON stands for, or "" if it is malformed."""
    try:
        return str(json.loads(text))
    except ValueError:
        return ""


def login_hint(registry: str) -> str:
    """Return the command that logs in to a registry."""
    if found := _ECR.fullmatch(registry):
        password = f"aws ecr get-login-password --region {found[1]}"
        return f"log in first: {password} | docker login --username AWS --password-stdin {registry}"
    return f"log in first: docker login {registry}"


def create_hint(repository: Repository) -> str:
    """Return how to create a repository that a registry does not create by itself."""
    registry, path = repository.registry, repository.path
    if found := _ECR.fullmatch(registry):
        return f"create it first: aws ecr create-repository --region {found[1]} --repository-name {path}"
    if registry == "public.ecr.aws":
        name = path.partition("/")[2] or path
        return f"create it first: aws ecr-public create-repository --region us-east-1 --repository-name {name}"
    if found := _GOOGLE.fullmatch(registry):
        project, name = ([*path.split("/"), "REPOSITORY"])[:2]
        return (
            f"create it first: gcloud artifacts repositories create {name} --repository-format=docker "
            f"--location={found[1]} --project={project}"
        )
    return f"create the repository {path} (or its project) at {registry} first, or correct the name"


def _unread(response: HttpResponse) -> str:
    content_type = _safe(response.header("Content-Type").partition(";")[0])[:40]
    return f"({len(response.body)} bytes of {content_type})" if content_type else ""


def _sentences(value: Any, *, is_said: bool, depth: int = 0) -> Iterator[str]:
    """Yield the texts of JSON that are meant for people. is_said: whether the value is of a key that holds such."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, str):
        text = " ".join(value.split())
        if (is_said or " " in text) and not _DIGEST_ONLY.fullmatch(text):
            yield text
    elif isinstance(value, list):
        for one in value[:20]:
            yield from _sentences(one, is_said=is_said, depth=depth + 1)
    elif isinstance(value, dict):
        ordered = sorted(value.items(), key=lambda pair: str(pair[0]).lower() != "message")  # the message first
        for key, one in ordered[:40]:
            if not (isinstance(one, str) and str(key).lower() == "code"):
                yield from _sentences(one, is_said=str(key).lower() in _SENTENCE_KEYS, depth=depth + 1)


def _safe(text: str) -> str:
    """Return a server's sentence so that it is safe to show: one short line, without tokens and signed URLs."""
    line = " ".join(clean(text).split()).strip(" :;")
    line = re.sub(r"(https?://[^\s?\"']*)\?[^\s\"']*", r"\1?…", line)
    line = re.sub(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9\-._~+/=]{8,}", r"\1 …", line)
    line = re.sub(r"(?<![A-Za-z0-9:])(?!sha(?:256|512):)[A-Za-z0-9\-_+/]{20,}\.[A-Za-z0-9\-_+/.]{20,}=*", "…", line)
    return line if len(line) <= _MAX_WORDS else f"{line[: _MAX_WORDS - 1]}…"
