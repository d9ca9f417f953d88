"""The URLs that a registry names in its responses: upload sessions."""

from __future__ import annotations

import pytest

from bakery.oci.reference import Repository
from bakery.registry.http.failure import UnsafeTarget
from bakery.registry.http.message import Fields, HttpResponse
from bakery.registry.http.url import Origin, Url
from bakery.registry.links import session_in

API = Origin.parse("https://reg.example")
HERE = Url.parse("https://reg.example/v2/acme/app/blobs/uploads/")
ELSEWHERE = Url.parse("https://mirror.example/v2/acme/app/blobs/uploads/")
UPLOADS = "/v2/acme/app/blobs/uploads"


def session(location: str, *, status: int = 202, url: Url | None = HERE) -> str | None:
    response = HttpResponse(status, Fields({"Location": location} if location else {}), url=url)
    found = session_in(response, Repository("reg.example", "acme/app"), API)
    return None if found is None else str(found)


def test_only_a_success_with_a_location_opens_a_session():
    assert session("/up/1") == "https://reg.example/up/1"
    assert session("/up/1", status=300) is None
    assert session("/up/1", url=None) is None
    assert session("") is None


ALLOWED = {
    "another path": (HERE, "/artifacts-uploads/1"),
    "another origin": (HERE, "https://storage.example/1/../2"),
    "dots within the repository": (HERE, f"{UPLOADS}/x/../1"),
    "within the repository, from elsewhere": (ELSEWHERE, f"https://reg.example{UPLOADS}/a-b_1?x=/../"),
}


@pytest.mark.parametrize(("url", "location"), ALLOWED.values(), ids=ALLOWED)
def test_a_registry_may_name_any_session_of_its_own(url, location):
    assert session(location, url=url)


REFUSED = {
    "dots out of the repository": (HERE, "https://reg.example/v2/acme/app/../../other/blobs/uploads/1"),
    "a dot": (HERE, "https://reg.example/v2/other/./blobs/uploads/1"),
    "dots into the repository, from another": (HERE, "https://reg.example/v2/other/../acme/app/blobs/uploads/1"),
    "escaped dots": (HERE, "https://reg.example/v2/acme/app/%2e%2e/other/blobs/uploads/1"),
    "another path, from elsewhere": (ELSEWHERE, "https://reg.example/artifacts-uploads/1"),
    "more than a session, from elsewhere": (ELSEWHERE, f"https://reg.example{UPLOADS}/1/2"),
}


@pytest.mark.parametrize(("url", "location"), REFUSED.values(), ids=REFUSED)
def test_a_login_is_never_sent_to_a_session_outside_the_repository(url, location):
    with pytest.raises(UnsafeTarget, match="outside the repository"):
        session(location, url=url)
