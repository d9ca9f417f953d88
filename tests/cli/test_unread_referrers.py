"""`--referrers` from a source that does not let them be read: images are published, and a warning says what is not."""

import json
import os

import pytest

from bakery.errors import ExitCode
from bakery.oci.digest import Digest
from bakery.rehearsal.faults import Effect, Refuse
from tests.clean.making import image_of, pointer, push_image, signature_tag
from tests.cli.test_preparations import IMAGE, SPDX, Kitchen, kitchen
from tests.program import run_bakery

__all__ = ["kitchen"]  # a fixture

NO = Refuse(403, "DENIED", "not for this token")
ODD = Refuse(401, "UNAUTHORIZED", headers=(("WWW-Authenticate", 'Bearer realm="open'),))
AWAY = Refuse(307, headers=(("Location", "http://169.254.169.254/x"),))
UNREAD = {  # what the source refuses: (method, path, effect, its words)
    "the list, to this login": ("GET", "/referrers/", Refuse(401, "UNAUTHORIZED", "who are you"), "401"),
    "the list": ("GET", "/referrers/", NO, "403 DENIED: not for this token"),
    "the list, which keeps failing": ("GET", "/referrers/", Refuse(500, "UNKNOWN", "broken"), "500 UNKNOWN: broken"),
    "the list, by a challenge that nothing can be made of": ("GET", "/referrers/", ODD, "malformed"),
    "the list, by a forbidden redirect": ("GET", "/referrers/", AWAY, "redirects to a forbidden address"),
    "a tag of cosign": ("HEAD", ".sig", Refuse(500, "UNKNOWN"), "500"),
    "a listed manifest": ("GET", "{sbom}", NO, "403 DENIED: not for this token"),
    "a blob": ("GET", "{blob}", NO, "403 DENIED: not for this token"),
}  # fmt: skip


def add_sbom(kitchen: Kitchen) -> Digest:
    raw = kitchen.source.manifest("tmp", kitchen.image.digest)[1]
    return push_image(kitchen.source, "sbom", name="tmp", subject=pointer(raw, IMAGE), artifactType=SPDX)[0]


def refuse(kitchen: Kitchen, sbom: Digest, method: str, path: str, effect: Effect) -> None:
    path = path.format(sbom=sbom, blob=Digest.of(image_of("sbom")[2]))
    kitchen.source.fault(method, path, then=effect)


async def create(kitchen: Kitchen, *arguments: str, **environment: str) -> tuple[int, str]:
    """Publish with the referrers. A short budget: half of it is for what keeps failing."""
    words = ("create", *kitchen.destinations, kitchen.reference, "--referrers", "--time-budget", "6", *arguments)
    code, _, err = await run_bakery(kitchen.folder, "imagetools", *words, environment=os.environ | environment)
    return code, err


@pytest.mark.parametrize(("method", "path", "effect", "words"), UNREAD.values(), ids=UNREAD)
async def test_the_images_are_published_and_a_warning_says_what_is_not_copied(kitchen, method, path, effect, words):
    sbom = add_sbom(kitchen)
    refuse(kitchen, sbom, method, path, effect)
    code, err = await create(kitchen)
    assert code == ExitCode.DONE, err
    for registry in (kitchen.modern, kitchen.old):
        assert "1" in registry.tags("app")
    (warning,) = [line for line in err.splitlines() if "cannot read all referrers" in line]
    assert "WARNING" in warning
    for part in (kitchen.reference, words, "were not copied", "run the same command again to copy them"):
        assert part in warning, warning
    assert all(f"docker login {registry.address}" not in warning for registry in (kitchen.modern, kitchen.old))


async def test_the_warning_is_in_the_result_the_summary_the_page_and_on_github(kitchen):
    add_sbom(kitchen)
    kitchen.source.fault("GET", "/referrers/", then=NO)
    page = kitchen.folder / "page.md"
    code, err = await create(
        kitchen, "--summary", "--summary-file", "s.json", GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(page)
    )
    assert code == ExitCode.DONE, err
    ways = [line[:9].rstrip() for line in err.splitlines() if "cannot read all referrers" in line]
    assert ways == ["::warning", "note: 127"], "the annotation, and the summary"
    (target,) = json.loads((kitchen.folder / "s.json").read_text())["targets"]
    (note,) = target["notes"]
    assert note.startswith(f"cannot read all referrers of {kitchen.reference} ")
    assert all(place["artifacts"] == [] for place in target["destinations"])
    assert "cannot read all referrers of" in page.read_text()
    code, _ = await create(kitchen, "--summary-file", "s.txt")
    assert (code, "note: " in (kitchen.folder / "s.txt").read_text()) == (ExitCode.DONE, True)


async def test_verifying_afterwards_claims_no_copy_and_the_same_command_makes_it(kitchen):
    sbom = add_sbom(kitchen)
    signature, _ = push_image(kitchen.source, "signature", signature_tag(kitchen.image.digest), name="tmp")
    kitchen.source.fault("GET", "/referrers/", then=NO)
    await create(kitchen, "--summary-file", "s.json")
    assert kitchen.modern.tags("app")[signature_tag(kitchen.image.digest)] == signature, "what can be read is copied"
    code, out, err = await run_bakery(kitchen.folder, "verify", "--output", "json", "s.json")
    assert code == ExitCode.DONE, err
    assert [one["attestations"] for one in json.loads(out)["references"]] == [0, 0]
    kitchen.source.clear_faults()
    for registry in (kitchen.modern, kitchen.old):
        registry.forget_requests()
    code, err = await create(kitchen)
    assert (code, "cannot read" in err) == (ExitCode.DONE, False), err
    for registry in (kitchen.modern, kitchen.old):
        assert [one["digest"] for one in kitchen.referrers(registry, kitchen.image.digest)] == [str(sbom)]
        assert registry.count("PUT", "/manifests/1") == 0, "its tags stay as they are"


async def test_a_failure_that_passes_is_retried_and_no_warning(kitchen):
    sbom = add_sbom(kitchen)
    kitchen.source.fault("GET", "/referrers/", then=Refuse(503, "UNAVAILABLE"), times=1)
    code, err = await create(kitchen)
    assert (code, "cannot read" in err) == (ExitCode.DONE, False), err
    assert [one["digest"] for one in kitchen.referrers(kitchen.modern, kitchen.image.digest)] == [str(sbom)]


async def test_a_dry_run_warns_too_and_writes_nothing(kitchen):
    add_sbom(kitchen)
    kitchen.source.fault("GET", "/referrers/", then=NO)
    for words in ((), ("--output", "markdown"), ("--output", "json", "--strict")):
        arguments = (*kitchen.destinations, kitchen.reference, "--referrers", "--dry-run", *words)
        code, out, err = await run_bakery(kitchen.folder, "imagetools", "create", *arguments)
        assert code == ExitCode.DONE, err
        (warning,) = [line for line in err.splitlines() if "cannot read all referrers" in line]
        assert "WARNING" in warning
        assert ("cannot read all referrers of" in out) == ("--output" in words)
    assert kitchen.modern.tags("app") == {}


async def test_referrers_that_are_not_what_they_claim_to_be_still_end_the_target(kitchen):
    sbom = add_sbom(kitchen)
    kitchen.source.fault("GET", f"/manifests/{sbom}", then="alter the body")
    code, err = await create(kitchen)
    assert (code, "error[content/mismatch]" in err) == (ExitCode.FAILED, True), err
    assert kitchen.modern.tags("app") == {}
