"""What a real BuildKit builds, published to two registries, and read by every client that people use."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bakery.oci.digest import Digest
from tests.peers.builder import ARCHITECTURES, BuildKit, buildx, push_scanner, write_bake
from tests.peers.conftest import StartRegistry
from tests.peers.programs import run
from tests.peers.publishing import BAKERY, WRITES

NAMES = ("bread", "cake", "roll")


def bakery(daemon: BuildKit, folder: Path, *words: object) -> str:
    done = subprocess.run(
        [BAKERY, *map(str, words)],
        env=daemon.environment, cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def digests_read(image: str) -> dict[str, str]:
    """The digest of an image, as each client reads it."""
    raw = run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{image}")
    oras = json.loads(run("oras", "manifest", "fetch", "--plain-http", "--descriptor", image))
    host = image.partition("/")[0]
    return {
        "crane": run("crane", "digest", "--insecure", image).decode().strip(),
        "skopeo": str(Digest.of(raw)),
        "regctl": run("regctl", "--host", f"reg={host},tls=disabled", "image", "digest", image).decode().strip(),
        "oras": oras["digest"],
    }


@pytest.mark.slow
def test_bake_targets_of_two_runners_are_published_whole(
    buildkit: BuildKit, start_registry: StartRegistry, tmp_path: Path
) -> None:
    temporary, one, two = (start_registry(kind) for kind in ("distribution", "distribution", "docker-registry"))
    push_scanner(buildkit, tmp_path / "scanner", f"{temporary.host}/scanner:1")
    tags = {
        name: [f"{place.host}/acme/{name}:{tag}" for place in (one, two) for tag in ("1.0", "latest")] for name in NAMES
    }
    files = write_bake(tmp_path / "work", tags, temporary.host, f"{temporary.host}/scanner:1")
    work = tmp_path / "work"
    metadata = [work / f"metadata-{architecture}.json" for architecture in ARCHITECTURES]
    for architecture, file in zip(ARCHITECTURES, metadata, strict=True):
        buildkit.bake(files[architecture], "--metadata-file", file)
    publish = ("publish", "--bake", "docker-bake.json", "--output", "json", *metadata)
    published = {image["uid"]: image for image in json.loads(bakery(buildkit, work, *publish))["images"]}
    assert set(published) == set(NAMES)
    for name, image in published.items():
        assert image["platforms"] == ["linux/amd64", "linux/arm64"]
        assert sorted(image["tags"]) == sorted(tags[name])
        for reference in tags[name]:
            assert set(digests_read(reference).values()) == {image["digest"]}
            shown = buildx("imagetools", "inspect", reference, environment=buildkit.environment)
            assert image["digest"] in shown.stdout
    reference = tags["cake"][0]
    for member, platforms in (("Provenance", ARCHITECTURES), ("SBOM", ARCHITECTURES)):
        shown = buildx(
            "imagetools", "inspect", reference, "--format", f"{{{{json .{member}}}}}", environment=buildkit.environment
        )
        assert set(json.loads(shown.stdout)) == {f"linux/{one}" for one in platforms}, (member, shown.stderr)
    inspected = json.loads(bakery(buildkit, work, "imagetools", "inspect", reference, "--output", "json"))
    types = [kind for one in inspected["attestations"] for kind in one["types"]]
    assert sum(kind.startswith("https://slsa.dev/provenance") for kind in types) == 2
    assert types.count("https://spdx.dev/Document") == 2
    run("crane", "validate", "--insecure", "--remote", reference)
    before = [len([entry for entry in place.requests() if entry.method in WRITES]) for place in (one, two)]
    again = json.loads(bakery(buildkit, work, *publish))["images"]
    assert {image["digest"] for image in again} == {image["digest"] for image in published.values()}
    assert [len([e for e in place.requests() if e.method in WRITES]) for place in (one, two)] == before
