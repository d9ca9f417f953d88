"""URLs in bakery.yaml, in the normal form of the WHATWG standard. Source: config.md 2 and 7."""

from __future__ import annotations

import re
from typing import Any

from bakery.config.schema.mismatch import WrongValue
from bakery.config.yaml.problem import shown

_NORMAL_URL = re.compile(
    r"https?://(?![^/]*xn--)(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z](?:[a-z0-9-]*[a-z0-9])?"
    r"(?P<path>(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*/?)"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}|\$[A-Za-z_][A-Za-z0-9_]*")
_MAX_URL = 2083  # characters; the limit of the original tool
_HTTP = ("http://", "https://")


def http_url(value: Any) -> str:
    """Return an http or https URL in normal form. Text without a scheme gets `https://` in front."""
    if not isinstance(value, str):
        raise WrongValue(f"expected an http or https URL, got {shown(value)}")
    text = value.strip()
    if not text.lower().startswith(_HTTP):
        if _SCHEME.match(text):
            raise WrongValue(f"expected an http or https URL, got {shown(value)}")
        text = f"https://{text}"
    if len(text) > _MAX_URL:
        raise WrongValue(f"the URL is longer than {_MAX_URL} characters")
    plain = _NORMAL_URL.fullmatch(text)
    if plain is not None:
        return text if plain["path"] else f"{text}/"
    from pydantic_core import Url, ValidationError  # slow to import, and most URLs are in normal form already

    try:
        parsed = Url(text)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].rpartition(", ")[2]
        raise WrongValue(f"invalid URL {shown(value)}: {reason}") from error
    if not parsed.host:
        raise WrongValue(f"invalid URL {shown(value)}: it has no host")
    return str(parsed)


def download_url(value: Any) -> str:
    """Return an http or https URL as written. `$NAME` and `${NAME}` in it stand for anything."""
    if not isinstance(value, str):
        raise WrongValue(f"expected an http or https URL, got {shown(value)}")
    filled = _VARIABLE.sub("1", value)
    if _VARIABLE.match(value):
        filled = f"https{filled[filled.index('://') :]}" if "://" in filled else f"https://{filled}"
    elif not filled.lower().startswith(_HTTP):
        raise WrongValue(f"expected a URL that starts with http:// or https://, got {shown(value)}")
    http_url(filled)
    return value
