"""The classification against what real oras and soci say, provoked at the embedded registry.

`tests/parallel/test_transient.py` has the recorded messages; here it shows whether a newer program still says so.
"""

import json

import pytest

from bakery.oci import media_type as mt
from bakery.parallel.command import CommandRunner
from bakery.parallel.transient import looks_transient, says_not_found, says_refused
from bakery.rehearsal import EmbeddedRegistry
from bakery.rehearsal.faults import Drop, Refuse
from tests.engines.workload import add_image, layer
from tests.peers.programs import find, need

pytestmark = [pytest.mark.peer, pytest.mark.slow]

NOT_THERE, REFUSED, PASSES, PERMANENT = "not there", "refused", "passes", "permanent"
ANSWERS = {  # name: (effect, what the message is read as)
    "404": (Refuse(404, "MANIFEST_UNKNOWN"), NOT_THERE),
    "404 for the repository": (Refuse(404, "NAME_UNKNOWN"), NOT_THERE),
    "401 of Basic": (
        Refuse(401, "UNAUTHORIZED", headers=(("WWW-Authenticate", 'Basic realm="x"'),)),
        REFUSED,
    ),
    "403": (Refuse(403, "DENIED"), REFUSED),
    "400": (Refuse(400, "MANIFEST_INVALID"), PERMANENT),
    "429": (Refuse(429, "TOOMANYREQUESTS"), PASSES),
    "500": (Refuse(500, "UNKNOWN"), PASSES),
    "502": (Refuse(502, body=b"<html>bad gateway</html>"), PASSES),
    "503": (Refuse(503), PASSES),
    "504": (Refuse(504, body=b""), PASSES),
    "a reset": (Drop(), PASSES),
}


def read(result):
    """What the classification takes a failure for."""
    assert not result.ok
    if says_not_found(result):
        assert looks_transient(result)  # for a caller that knows that it must exist
        return NOT_THERE
    if says_refused(result):
        assert not looks_transient(result)
        return REFUSED
    return PASSES if looks_transient(result) else PERMANENT


@pytest.mark.parametrize("words", [("manifest", "fetch", "--descriptor"), ("cp",)], ids=["fetch", "cp"])
@pytest.mark.parametrize(("effect", "meaning"), ANSWERS.values(), ids=ANSWERS)
async def test_messages_of_oras_are_classified(effect, meaning, words, tmp_path):
    async with EmbeddedRegistry() as registry:
        manifest = add_image(registry, "acme/app", "linux/amd64", layers=[layer("x")])
        registry.fault("GET HEAD", "/manifests/", then=effect)
        reference = f"{registry.address}/acme/app@{manifest.digest}"
        plain, more = ("--from-plain-http", ["--to-oci-layout"]) if words == ("cp",) else ("--plain-http", [])
        target = [str(tmp_path / "layout")] if more else []
        command = [str(need("oras")), *words, plain, *more, reference, *target]
        result = await CommandRunner("a").run(command, timeout=60)
    assert read(result) == meaning, result.stderr


async def test_a_refused_connection_is_transient_and_a_bad_reference_is_not():
    async with EmbeddedRegistry() as registry:
        gone = registry.address
    digest = f"sha256:{'0' * 64}"
    fetch = [str(need("oras")), "manifest", "fetch", "--plain-http"]
    assert read(await CommandRunner("a").run([*fetch, f"{gone}/acme/app@{digest}"], timeout=60)) == PASSES
    assert read(await CommandRunner("a").run([*fetch, "UPPER/acme:..bad"], timeout=60)) == PERMANENT


async def test_the_error_of_soci_for_a_layout_of_oras_is_permanent(tmp_path):
    soci = find("soci")
    if soci is None:
        pytest.skip("no soci here")
    async with EmbeddedRegistry() as registry:
        entries = []
        for architecture in ("amd64", "arm64"):
            image = add_image(registry, "acme/app", f"linux/{architecture}", layers=[layer(architecture)])
            platform = {"architecture": architecture, "os": "linux"}
            entries.append(
                {"mediaType": mt.OCI_MANIFEST, "digest": str(image.digest), "size": image.size, "platform": platform}
            )
        index = json.dumps({"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": entries}).encode()
        reference = f"{registry.address}/acme/app@{registry.put_manifest('acme/app', index)}"
        copy = [str(need("oras")), "cp", "--from-plain-http", "--to-oci-layout", reference, f"{tmp_path}/src:image"]
        assert (await CommandRunner("a").run(copy, timeout=60)).ok
    command = [str(soci), "convert", "--standalone", "--format", "oci-dir", "--all-platforms"]
    result = await CommandRunner("a").run([*command, f"{tmp_path}/src", f"{tmp_path}/out"], timeout=60)
    # The known trap: when this fails, soci or oras has changed, and the engine's care for index.json can go.
    assert b"soci: manifest should have proper platform" in result.stderr
    assert read(result) == PERMANENT
