"""`bakery ci publish` between real registries, read back by third-party programs."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from bench.workload import BuiltTarget, Shape, build, load

from tests.peers.conftest import StartRegistry
from tests.peers.programs import ROOT, run
from tests.peers.publishing import Kitchen, written
from tests.peers.registries import KINDS, Basic, RealRegistry
from tests.peers.tokens import TokenService

SHAPE = Shape(images=2, versions=2, layers=2, layer_bytes=2000)
HELLO = ROOT / "examples" / "hello"
INDEX = "application/vnd.oci.image.index.v1+json"


def raw(registry: RealRegistry, reference: str) -> bytes:
    """Return a manifest, read by skopeo."""
    return run("skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{registry.host}/{reference}")


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def send(registry: RealRegistry, method: str, path: str, data: bytes | None = None, media_type: str = "") -> str:
    """Send one plain HTTP request. Return the Location header."""
    url = path if path.startswith("http") else f"http://{registry.host}{path}"
    request = urllib.request.Request(url, data, {"Content-Type": media_type} if media_type else {}, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(response.headers.get("Location", ""))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def kitchen(kind: str, start_registry: StartRegistry, tmp_path: Path) -> Kitchen:
    """Four targets, built for two platforms, with two destinations."""
    return await stocked(kind, start_registry, tmp_path)


async def stocked(
    kind: str, start_registry: StartRegistry, folder: Path, auth: Basic | TokenService | None = None
) -> Kitchen:
    source, *destinations = (
        [start_registry(kind) for _ in range(3)]
        if auth is None
        else [start_registry(kind, auth=auth) for _ in range(3)]
    )
    targets = list(build(SHAPE))
    await load(source.host, targets, headers=login_headers(auth, targets))
    return Kitchen(folder / "project", source, destinations, targets)


def login_headers(auth: Basic | TokenService | None, targets: list[BuiltTarget]) -> dict[str, str] | None:
    match auth:
        case Basic():
            return {"Authorization": "Basic YmFrZXI6ZmxvdXI="}  # baker:flour
        case TokenService():
            scopes = sorted({f"repository:{target.source_repository}:pull,push" for target in targets})
            return {"Authorization": f"Bearer {auth.token(*scopes)}"}
        case None:
            return None


async def test_every_tag_names_one_index_with_both_platforms_at_every_destination(kitchen):
    done = kitchen.publish()
    assert done.exit_code == 0, done.stderr
    assert kitchen.problems() == []
    for target in kitchen.targets:
        one, two = (raw(registry, f"{target.repository}:{target.tags[0]}") for registry in kitchen.destinations)
        assert one == two
        index = json.loads(one)
        assert index["mediaType"] == INDEX
        assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]


async def test_only_json_goes_to_stdout(kitchen):
    assert kitchen.publish().stdout == ""
    done = kitchen.publish("--summary", "--summary-format", "json")
    assert json.loads(done.stdout)["build_targets"] == len(kitchen.targets)


async def test_a_second_run_writes_nothing(kitchen):
    assert kitchen.publish().exit_code == 0
    before = written(kitchen.destinations)
    done = kitchen.publish()
    assert done.exit_code == 0, done.stderr
    assert written(kitchen.destinations)[len(before) :] == []
    assert written([kitchen.source]) == written([kitchen.source])


async def test_a_publish_writes_nothing_to_the_source_registry(kitchen):
    before = written([kitchen.source])
    assert kitchen.publish().exit_code == 0
    assert written([kitchen.source]) == before


async def test_partly_deleted_content_is_repaired_and_nothing_else_is_sent(kitchen):
    assert kitchen.publish().exit_code == 0
    damaged, intact = kitchen.destinations
    target = kitchen.targets[0]
    child = target.builds[0]
    send(damaged, "DELETE", f"/v2/{target.repository}/manifests/{child.digest}")
    send(damaged, "DELETE", f"/v2/{target.repository}/blobs/{child.blobs[-1].digest}")
    assert kitchen.problems() != []
    before, before_intact = len(written([damaged])), len(written([intact]))
    done = kitchen.publish()
    assert done.exit_code == 0, done.stderr
    assert kitchen.problems() == []
    assert len(written([intact])) == before_intact
    sent = [one.path for one in written([damaged])[before:] if one.method == "PUT"]
    assert all(path.startswith(f"/v2/{target.repository}/") for path in sent)
    assert sum("/blobs/uploads/" in path for path in sent) == 1


async def test_a_missing_blob_of_an_existing_manifest_is_restored(kitchen):
    assert kitchen.publish().exit_code == 0
    target = kitchen.targets[1]
    lost = target.builds[1].blobs[0]
    send(kitchen.destinations[0], "DELETE", f"/v2/{target.repository}/blobs/{lost.digest}")
    assert kitchen.problems() != []
    assert kitchen.publish().exit_code == 0
    assert kitchen.problems() == []


async def test_tags_move_to_new_builds_and_the_old_index_stays_readable_by_digest(kitchen):
    assert kitchen.publish().exit_code == 0
    target = kitchen.targets[0]
    old = raw(kitchen.destinations[0], f"{target.repository}:{target.tags[0]}")
    rebuilt = [
        BuiltTarget(one.image, one.version, other.builds)
        for one, other in zip(kitchen.targets, build(Shape(2, 2, 2, 2100)), strict=True)
    ]
    await load(kitchen.source.host, rebuilt)
    again = Kitchen(kitchen.folder, kitchen.source, kitchen.destinations, rebuilt)
    done = again.publish()
    assert done.exit_code == 0, done.stderr
    assert again.problems() == []
    assert raw(kitchen.destinations[0], f"{target.repository}@{digest(old)}") == old


async def test_both_kinds_of_registry_get_the_same_digests(start_registry, tmp_path):
    found = []
    for kind in KINDS:
        kitchen = await stocked(kind, start_registry, tmp_path / kind)
        # The digest depends on the content and the project's annotations, not on the hosts.
        assert kitchen.publish().exit_code == 0
        found.append([raw(kitchen.destinations[0], f"{one.repository}:{one.tags[0]}") for one in kitchen.targets])
    assert found[0] == found[1]


async def test_bearer_tokens_are_requested_once_per_repository_and_scope(kind, start_registry, tokens, tmp_path):
    kitchen = await stocked(kind, start_registry, tmp_path, tokens)
    done = kitchen.publish()
    assert done.exit_code == 0, done.stderr
    requests = list(tokens.requests)
    assert kitchen.problems() == []
    # Both destinations use one token service, and their repositories have the same names.
    assert max(Counter(requests).values()) <= 2, requests
    assert tokens.refused == 0


async def test_a_password_login_is_enough(kind, start_registry, tmp_path):
    kitchen = await stocked(kind, start_registry, tmp_path, Basic())
    done = kitchen.publish()
    assert done.exit_code == 0, done.stderr
    assert kitchen.problems() == []


async def test_a_wrong_password_fails_at_once_with_exit_code_4_and_names_the_registry(kind, start_registry, tmp_path):
    kitchen = await stocked(kind, start_registry, tmp_path, Basic())
    done = kitchen.publish(auth=Basic("baker", "salt"), timeout_s=20)
    assert done.exit_code == 4
    assert kitchen.source.host in done.stderr
    assert "salt" not in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_dead_destination_does_not_affect_the_other(kind, start_registry, tmp_path):
    source, alive = start_registry(kind), start_registry(kind)
    targets = list(build(SHAPE))
    await load(source.host, targets)
    with socket.socket() as taken:  # bound but not listening: connections are refused, and the port stays ours
        taken.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{taken.getsockname()[1]}"
        kitchen = Kitchen(tmp_path / "project", source, [alive], targets, hosts=[dead, alive.host])
        done = kitchen.publish(BAKERY_REGISTRY_RETRY_ATTEMPTS="2", BAKERY_REGISTRY_RETRY_INITIAL_BACKOFF="0.1")
    assert done.exit_code == 1
    assert dead in done.stderr
    assert kitchen.problems() == []


async def test_default_builds_of_buildx_are_published_with_both_platforms_and_attestations(
    kind, start_registry, tmp_path
):
    source, one, two = (start_registry(kind) for _ in range(3))
    load_layout(source, HELLO / "builds" / "layout", "tmp/hello/tmp")
    folder = tmp_path / "project"
    shutil.copytree(HELLO, folder)
    text = (folder / "bakery.yaml").read_text()
    (folder / "bakery.yaml").write_text(text.replace("ghcr.io", one.host).replace("docker.io", two.host))
    kitchen = Kitchen(folder, source, [one, two])
    for file in sorted((HELLO / "builds").glob("attested-*.json")):
        renamed = folder / file.name
        renamed.write_text(file.read_text().replace("registry.example/", f"{source.host}/"))
        kitchen.metadata.append(renamed)
    done = kitchen.publish()
    assert done.exit_code == 0, done.stderr
    for registry, namespace in ((one, "example-org"), (two, "exampleorg")):
        for tag in ("latest", "1.0.0", "1.0.0-minimal"):
            index = json.loads(raw(registry, f"{namespace}/hello:{tag}"))
            platforms = [
                f"{entry['platform']['os']}/{entry['platform']['architecture']}" for entry in index["manifests"]
            ]
            assert platforms == ["linux/amd64", "linux/arm64", "unknown/unknown", "unknown/unknown"]
            images = [entry["digest"] for entry in index["manifests"][:2]]
            subjects = [entry["annotations"]["vnd.docker.reference.digest"] for entry in index["manifests"][2:]]
            assert subjects == images
            for entry in index["manifests"]:
                stored = HELLO / "builds" / "layout" / "blobs" / "sha256" / entry["digest"].partition(":")[2]
                assert raw(registry, f"{namespace}/hello@{entry['digest']}") == stored.read_bytes()


def load_layout(registry: RealRegistry, layout: Path, repository: str) -> None:
    """Push everything in an OCI layout by digest, children first, with plain HTTP."""
    done: set[str] = set()

    def push(descriptor: dict[str, object]) -> None:
        name = str(descriptor["digest"])
        if name in done:
            return
        done.add(name)
        data = (layout / "blobs" / "sha256" / name.partition(":")[2]).read_bytes()
        media_type = str(descriptor["mediaType"])
        if "manifest" in media_type or "index" in media_type:
            document = json.loads(data)
            for child in (*document.get("manifests", []), *document.get("layers", []), document.get("config")):
                if child is not None:
                    push(child)
            send(registry, "PUT", f"/v2/{repository}/manifests/{name}", data, media_type)
        else:
            location = send(registry, "POST", f"/v2/{repository}/blobs/uploads/", b"")
            joined = location + ("&" if "?" in location else "?") + f"digest={name}"
            send(registry, "PUT", joined, data, "application/octet-stream")

    for entry in json.loads((layout / "index.json").read_bytes())["manifests"]:
        push(entry)
