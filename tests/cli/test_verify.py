"""`bakery verify` as a process: each kind of drift is found, and nothing is written."""

import json

import pytest

from bakery.errors import ExitCode
from bakery.oci import media_type as mt
from bakery.oci.digest import Digest
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.faults import Refuse
from bakery.rehearsal.traits import Traits
from tests.clean.making import pointer, push_image, signature_tag
from tests.cli.test_rollback import Place, place
from tests.engines.workload import layer

__all__ = ["place"]  # a fixture


async def published(place: Place) -> None:
    await place.publish("it", "--summary-file", "summary.json")


async def verify(place: Place, *arguments: str) -> tuple[int, dict[str, list[str]], str]:
    """Return the exit code, the problems of each reference without its host, and stderr."""
    code, out, err = await place.bakery("verify", "--output", "json", *arguments)
    found = json.loads(out)["references"] if out else []
    hosts = {place.one.address: "1", place.two.address: "2"}
    named = {f"{hosts[one['reference'].split('/')[0]]}:{one['reference'].rpartition(':')[2]}": one for one in found}
    return code, {name: one["problems"] for name, one in named.items() if one["state"] != "ok"}, err


async def test_what_was_just_published_is_as_expected_and_nothing_is_written(place):
    await published(place)
    place.two.forget_requests()
    code, problems, err = await verify(place, "summary.json")
    assert (code, problems) == (ExitCode.DONE, {}), err
    assert "✅ 6 references as expected" in err
    assert {request.method for request in place.two.requests} <= {"GET", "HEAD"}


async def test_a_tag_that_moved_is_drift(place):
    await published(place)
    await place.bakery("imagetools", "create", "-t", f"{place.two.address}/app:latest", place.source("other"))
    code, problems, _ = await verify(place, "summary.json")
    assert code == ExitCode.FAILED
    assert list(problems) == ["2:latest"]
    assert f"names {place.tags()['2:latest']}, expected {place.tags()['1:latest']}" in problems["2:latest"]


async def test_a_tag_that_is_gone_is_drift(place):
    await published(place)
    place.two.delete_tag("app", "2")
    assert (await verify(place, "summary.json"))[:2] == (ExitCode.FAILED, {"2:2": ["the tag does not exist"]})


@pytest.mark.parametrize("part", ["child", "blob"])
async def test_content_that_is_gone_is_drift_of_every_tag_that_names_it(place, part):
    await published(place)
    if part == "child":
        lost = Digest.parse(json.loads(place.two.manifest("app", "latest")[1])["manifests"][0]["digest"])
        place.two.delete_manifest("app", lost)
    else:
        lost = Digest.of(layer("it"))
        place.two.delete_blob("app", lost)
    code, problems, err = await verify(place, "summary.json")
    assert code == ExitCode.FAILED
    assert problems == {f"2:{tag}": [f"content is missing: {lost}"] for tag in ("1", "2", "latest")}
    assert "3 of 6 references not as expected" in err


async def test_a_platform_that_is_missing_is_drift(place):
    await published(place)
    summary = json.loads((place.folder / "summary.json").read_text())
    summary["targets"][0]["platforms"] = ["linux/amd64", "linux/arm64"]
    (place.folder / "summary.json").write_text(json.dumps(summary))
    assert set(map(tuple, (await verify(place, "summary.json"))[1].values())) == {("linux/arm64 is missing",)}


async def test_a_reference_is_checked_for_what_it_names(place):
    await published(place)
    reference = f"{place.one.address}/app:latest"
    assert (await verify(place, reference))[0] == ExitCode.DONE
    place.one.delete_blob("app", Digest.of(layer("it")))
    assert (await verify(place, reference))[0] == ExitCode.FAILED
    code, _, err = await verify(place, "no-such-file")
    assert code == ExitCode.CONFIGURATION
    assert "it does not exist" in err
    code, _, err = await place.bakery("verify", "")
    assert (code, "cannot verify '': it is empty" in err) == (ExitCode.USAGE, True)
    (place.folder / "metadata.json").write_text("{}")
    code, _, err = await place.bakery("verify", "metadata.json")
    assert code == ExitCode.CONFIGURATION
    assert "hint: pass the JSON summary of a publish" in err


async def test_a_signature_that_one_registry_lacks_is_drift_and_a_missing_one_if_it_is_required(place):
    await published(place)
    digest = place.tags()["1:latest"]
    assert (await verify(place, "--require-signature", "summary.json"))[0] == ExitCode.FAILED
    media_type, raw = place.one.manifest("app", "latest")
    place.one.put_manifest("app", raw, f"sha256-{digest.hex}.sig", media_type=media_type)  # any manifest
    code, problems, _ = await verify(place, "summary.json")
    assert code == ExitCode.FAILED
    assert set(problems) == {"2:1", "2:2", "2:latest"}
    assert "has 0 of the 1 signatures" in problems["2:latest"][0]


@pytest.fixture
async def older(tmp_path):
    """Two registries, the second of which has no referrers API."""
    async with EmbeddedRegistry() as one, EmbeddedRegistry(traits=Traits(referrers=False)) as two:
        yield Place(one, two, tmp_path)


async def test_an_attachment_that_is_gone_is_drift(older):
    place = older
    (place.folder / "sbom.json").write_text("{}")
    await place.publish("it", "--summary-file", "summary.json", "--attach", "sbom.json:application/spdx+json")
    assert (await verify(place, "summary.json"))[:2] == (ExitCode.DONE, {})
    summary = json.loads((place.folder / "summary.json").read_text())
    (added,) = summary["targets"][0]["destinations"][1]["artifacts"]
    assert (added["subject"], added["kind"]) == (summary["targets"][0]["digest"], "application/spdx+json")
    place.two.delete_manifest("app", Digest.parse(added["digest"]))
    code, problems, _ = await verify(place, "summary.json")
    assert code == ExitCode.FAILED
    assert set(problems) == {"2:1", "2:2", "2:latest"}
    assert problems["2:1"] == [f"the application/spdx+json {added['digest']} of {added['subject']} is missing"]


BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.mark.parametrize("listed", [True, False], ids=["by the API", "by the fallback tag, as cosign writes it"])
@pytest.mark.parametrize(
    ("kind", "annotations", "signatures", "attestations"),
    [
        (BUNDLE, {"dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1"}, 1, 0),
        (BUNDLE, {"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1"}, 0, 1),
        (BUNDLE, {"dev.sigstore.bundle.content": "message-signature"}, 1, 0),
        ("application/vnd.cncf.notary.signature", {}, 1, 0),
        ("application/vnd.in-toto+json", {}, 0, 1),
        ("application/spdx+json", {}, 0, 0),
    ],
)
async def test_referrers_count_as_what_they_are(older, listed, kind, annotations, signatures, attestations):
    await published(older)
    registry = older.one if listed else older.two
    index = registry.manifest("app", "latest")[1]
    more = {"artifactType": kind, "annotations": annotations}
    made, raw = push_image(registry, "referrer", name="app", subject=pointer(index, mt.OCI_INDEX), **more)
    if not listed:
        entry = {"mediaType": mt.OCI_MANIFEST, "digest": str(made), "size": len(raw), "artifactType": kind}
        fallback = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": [entry]}
        tag = signature_tag(older.tags()["2:latest"], "")
        registry.put_manifest("app", json.dumps(fallback).encode(), tag, media_type=mt.OCI_INDEX)
    _, out, _ = await older.bakery("verify", "--output", "json", f"{registry.address}/app:latest")
    (found,) = json.loads(out)["references"]
    assert (found["signatures"], found["attestations"]) == (signatures, attestations)


async def test_a_registry_that_refuses_is_an_error_of_its_tags_only(place):
    await published(place)
    place.two.fault("GET HEAD", "/v2/app", then=Refuse(403, "DENIED"))
    code, _, err = await verify(place, "summary.json")
    assert code == ExitCode.AUTHENTICATION
    assert "3 of 6 references not as expected" in err


PROJECT = """\
repository: {{url: https://example.org/acme/app}}
registries: [{{host: "{one}"}}, {{host: "{two}"}}]
images:
  - name: app
    tagPatterns: [{{patterns: ["{{{{ Version }}}}"]}}]
    versions: [{{name: 1.0.0, os: [{{name: Debian 12, platforms: [linux/amd64]}}]}}]
"""


async def test_the_tags_of_a_project_must_name_the_same_digest_everywhere(place):
    text = PROJECT.format(one=place.one.address, two=place.two.address)
    (place.folder / "bakery.yaml").write_text(text)
    for host, salt in ((place.one, "it"), (place.two, "other")):
        await place.bakery("imagetools", "create", "-t", f"{host.address}/app:1.0.0", place.source(salt))
    code, problems, err = await verify(place, ".")
    assert code == ExitCode.FAILED, err
    assert len(problems) == 1
    assert ", but " in next(iter(problems.values()))[0]
    await place.bakery("imagetools", "create", "-t", f"{place.two.address}/app:1.0.0", place.source("it"))
    assert (await verify(place, "."))[0] == ExitCode.DONE
