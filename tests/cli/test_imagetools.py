"""`imagetools create`, `copy`, `tag` and `inspect` as processes: what they push and print, and their exit codes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakery.errors import ExitCode
from bakery.oci import media_type as mt
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.rehearsal.embedded import EmbeddedRegistry
from tests.cli.running import bakery
from tests.engines.workload import add_image, layer
from tests.program import Done, run_bakery


@dataclass
class Registry:
    """A registry with an image for each of three platforms in `tmp`, and the commands that work with it."""

    embedded: EmbeddedRegistry
    folder: Path
    images: dict[str, Descriptor]

    @property
    def host(self) -> str:
        return self.embedded.address

    def source(self, architecture: str) -> str:
        return f"{self.host}/tmp@{self.images[architecture].digest}"

    async def imagetools(self, *arguments: str, stdin: str = "") -> Done:
        return await run_bakery(self.folder, "imagetools", *arguments, stdin=stdin)

    async def create(self, *arguments: str, stdin: str = "") -> str:
        """Run `imagetools create`, which must succeed, and return its stdout."""
        code, out, err = await self.imagetools("create", *arguments, stdin=stdin)
        assert code == ExitCode.DONE, err
        return out

    def index(self, repository: str, tag: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.embedded.manifest(repository, tag)[1])
        return found

    def entries(self, repository: str, tag: str) -> list[str]:
        return [entry["digest"] for entry in self.index(repository, tag)["manifests"]]

    def digests(self, *architectures: str) -> list[str]:
        return [str(self.images[name].digest) for name in architectures]


@pytest.fixture
async def registry(tmp_path):
    async with EmbeddedRegistry() as embedded:
        images = {
            name: add_image(embedded, "tmp", f"linux/{name}", layers=[layer(name)], salt=name)
            for name in ("amd64", "arm64", "s390x")
        }
        yield Registry(embedded, tmp_path, images)


async def test_create_pushes_to_every_destination_in_the_order_of_the_sources(registry):
    sources = (registry.source("arm64"), registry.source("amd64"))
    tags = ("-t", f"{registry.host}/one:1,latest", "-t", f"{registry.host}/two:1")
    await registry.create(*tags, *sources)
    for repository, tag in (("one", "1"), ("one", "latest"), ("two", "1")):
        assert registry.entries(repository, tag) == registry.digests("arm64", "amd64")
    assert "annotations" not in registry.index("one", "1"), "two runs must give one digest"


async def test_a_second_create_writes_nothing(registry):
    command = ("-t", f"{registry.host}/app:1,latest", registry.source("amd64"), registry.source("arm64"))
    await registry.create(*command)
    registry.embedded.forget_requests()
    await registry.create(*command)
    assert {request.method for request in registry.embedded.requests} <= {"GET", "HEAD"}


async def test_a_destination_without_a_tag_is_published_by_digest(registry):
    out = await registry.create("-t", f"{registry.host}/app", "--output", "json", registry.source("amd64"))
    digest = json.loads(out)["images"][0]["digest"]
    assert registry.embedded.tags("app") == {}
    assert registry.embedded.manifest("app", Digest.parse(digest))


async def state(registry, *arguments):
    code, out, err = await registry.imagetools("create", "--summary-format", "json", *arguments)
    assert code == ExitCode.DONE, err
    (target,) = json.loads(out)["targets"]
    assert [place["state"] for place in target["destinations"]] == [target["state"]]
    return target["state"]


async def test_without_a_tag_the_state_says_whether_content_was_written(registry):
    command = ("-t", f"{registry.host}/app", registry.source("amd64"))
    assert await state(registry, *command) == "published"
    assert await state(registry, *command) == "unchanged"


@pytest.mark.timeout(30)
async def test_a_dry_run_does_not_wait_for_a_missing_source(registry):
    missing = f"{registry.host}/tmp@sha256:{'0' * 64}"
    code, out, err = await registry.imagetools("create", "--dry-run", "-t", f"{registry.host}/app:1", missing)
    assert (code, out) == (ExitCode.FAILED, "")
    assert "cannot find 1 of 1 builds" in err
    assert "not found" in err
    assert "--wait-timeout" not in err


@pytest.mark.timeout(30)
async def test_a_dry_run_does_not_wait_for_a_missing_entry_of_an_index(registry):
    await registry.create("-t", f"{registry.host}/tmp:both", registry.source("amd64"), registry.source("arm64"))
    registry.embedded.delete_manifest("tmp", registry.images["arm64"].digest)
    code, _, err = await registry.imagetools(
        "create", "--dry-run", "-t", f"{registry.host}/app:1", f"{registry.host}/tmp:both"
    )
    assert code == ExitCode.FAILED
    assert "linux/arm64" in err


async def test_digests_alone_are_in_the_repository_of_the_first_tag(registry):
    await registry.create("-t", f"{registry.host}/tmp:1", *registry.digests("amd64", "s390x"))
    assert registry.entries("tmp", "1") == registry.digests("amd64", "s390x")


async def test_files_and_stdin_hold_descriptors_and_come_before_the_arguments(registry):
    descriptor = {**registry.images["s390x"].to_json(), "annotations": {"a": "b"}}
    (registry.folder / "one.json").write_text(json.dumps({**descriptor, "platform": None}))
    listed = json.dumps([{"digest": registry.digests("arm64")[0]}])
    tag = ("-t", f"{registry.host}/tmp:1")
    await registry.create(*tag, "-f", "one.json", "-f", "-", registry.source("amd64"), stdin=listed)
    assert registry.entries("tmp", "1") == registry.digests("s390x", "arm64", "amd64")
    assert registry.index("tmp", "1")["manifests"][0]["annotations"] == {"a": "b"}


async def test_what_create_reports_in_a_metadata_file_is_a_source_for_the_next(registry):
    await registry.create("-t", f"{registry.host}/a:1", "--metadata-file", "a.json", registry.source("amd64"))
    written = json.loads((registry.folder / "a.json").read_text())
    assert written["image.name"] == f"{registry.host}/a"
    index = registry.embedded.manifest("a", "1")[1]
    assert written["containerimage.digest"] == str(Digest.of(index))
    assert written["containerimage.descriptor"] == {
        "mediaType": mt.OCI_INDEX, "digest": str(Digest.of(index)), "size": len(index)
    }  # fmt: skip
    del written["containerimage.digest"]  # as buildx writes it
    (registry.folder / "a.json").write_text(json.dumps(written))
    await registry.create("-t", f"{registry.host}/b:1", "--metadata", "a.json", registry.source("arm64"))
    assert registry.entries("b", "1") == registry.digests("amd64", "arm64")


async def test_of_keyed_metadata_one_target_is_used(registry):
    entry = {"image.name": f"{registry.host}/tmp", "containerimage.digest": registry.digests("amd64")[0]}
    (registry.folder / "bake.json").write_text(json.dumps({"app": entry, "other": entry}))
    await registry.create("-t", f"{registry.host}/app:1", "--metadata", "bake.json", "--target", "app")
    assert registry.entries("app", "1") == registry.digests("amd64")
    code, _, err = await registry.imagetools("create", "-t", f"{registry.host}/app:1", "--metadata", "bake.json")
    assert code == ExitCode.CONFIGURATION
    assert "app, other" in err
    assert "--target" in err


async def test_append_adds_to_the_image_of_the_first_tag(registry):
    tags = ("-t", f"{registry.host}/app:1", "-t", f"{registry.host}/copy:1")
    code, _, err = await registry.imagetools("create", "--append", *tags, registry.source("arm64"))
    assert code == ExitCode.FAILED
    assert "must exist" in err
    await registry.create(*tags[:2], registry.source("amd64"))
    await registry.create("--append", *tags, registry.source("arm64"))
    assert registry.entries("app", "1") == registry.entries("copy", "1") == registry.digests("amd64", "arm64")


async def test_platforms_are_kept_or_missing(registry):
    tag, sources = ("-t", f"{registry.host}/app:1"), [registry.source(name) for name in registry.images]
    await registry.create(*tag, "-p", "linux/arm64,linux/s390x", *sources)
    assert registry.entries("app", "1") == registry.digests("arm64", "s390x")
    code, _, err = await registry.imagetools("create", *tag, "-p", "linux/riscv64", *sources)
    assert code == ExitCode.FAILED
    assert "linux/riscv64" in err


async def test_a_single_manifest_is_copied_as_it_is_without_prefer_index(registry):
    tag, digest = f"{registry.host}/app:1", registry.digests("amd64")[0]
    await registry.create("-t", tag, "--prefer-index=false", registry.source("amd64"))
    assert str(registry.embedded.tags("app")["1"]) == digest
    await registry.create("-t", tag, registry.source("amd64"))
    assert registry.entries("app", "1") == [digest]


async def test_two_images_of_one_platform_are_refused_unless_the_last_is_wanted(registry):
    other = add_image(registry.embedded, "tmp", "linux/amd64", layers=[layer("other")], salt="other")
    command = (
        "create",
        "-t",
        f"{registry.host}/app:1",
        registry.source("amd64"),
        f"{registry.host}/tmp@{other.digest}",
    )
    code, _, err = await registry.imagetools(*command)
    assert code == ExitCode.FAILED
    assert registry.digests("amd64")[0] in err
    assert str(other.digest) in err
    code, _, err = await registry.imagetools(*command, "--on-duplicate", "last")
    assert code == ExitCode.DONE, err
    assert registry.entries("app", "1") == [str(other.digest)]


async def test_annotations_go_into_the_index_its_entries_and_the_metadata_file(registry):
    await registry.create(
        "-t", f"{registry.host}/app:1", "--annotation", "a=1", "--annotation", "index:b=2",
        "--annotation", "manifest-descriptor[linux/arm64]:c=3", "--annotation", "index-descriptor:d=4",
        "--metadata-file", "m.json", registry.source("amd64"), registry.source("arm64"),
    )  # fmt: skip
    index = registry.index("app", "1")
    assert index["annotations"] == {"a": "1", "b": "2"}
    assert [entry.get("annotations") for entry in index["manifests"]] == [None, {"c": "3"}]
    assert json.loads((registry.folder / "m.json").read_text())["containerimage.descriptor"]["annotations"] == {
        "d": "4"
    }


async def test_artifact_type_and_subject_are_members_of_the_index(registry):
    await registry.create("-t", f"{registry.host}/app:1", registry.source("amd64"))
    subject = registry.embedded.tags("app")["1"]
    command = ("--artifact-type", "application/x", "--subject", f"{registry.host}/app:1", registry.source("arm64"))
    await registry.create("-t", f"{registry.host}/app:2", *command)
    index = registry.index("app", "2")
    assert (index["artifactType"], index["subject"]["digest"]) == ("application/x", str(subject))
    code, out, _ = await registry.imagetools("inspect", f"{registry.host}/app:1", "--output", "json")
    assert (code, json.loads(out)["referrers"]) == (ExitCode.DONE, 1)


async def test_a_dry_run_prints_the_bytes_that_a_run_would_push_and_writes_nothing(registry):
    command = ("-t", f"{registry.host}/app:1,latest", registry.source("amd64"), registry.source("arm64"))
    code, printed, err = await registry.imagetools("create", "--dry-run", *command)
    assert code == ExitCode.DONE
    assert registry.embedded.count("PUT") == registry.embedded.count("POST") == 0
    assert f"{registry.host}/app:latest: new -> {Digest.of(printed.encode())}" in err
    await registry.create(*command)
    assert registry.embedded.manifest("app", "1")[1].decode() == printed
    code, _, err = await registry.imagetools("create", "--dry-run", *command)
    assert "(unchanged)" in err
    registry.embedded.forget_requests()
    code, out, err = await registry.imagetools("create", "--dry-run", "--offline", *command)
    assert (code, out, registry.embedded.requests) == (ExitCode.DONE, "", [])
    assert "app" in err


async def test_a_dead_registry_moves_no_tag_there_and_exits_1(registry):
    command = ("-t", f"{registry.host}/app:1", "-t", "127.0.0.1:1/app:1", "--time-budget", "2")
    code, out, err = await registry.imagetools(
        "create", *command, "--metadata-file", "m.json", registry.source("amd64")
    )
    assert (code, out) == (ExitCode.FAILED, "")
    assert "127.0.0.1:1" in err
    assert registry.entries("app", "1") == registry.digests("amd64")
    assert not (registry.folder / "m.json").exists()


async def test_rawjson_progress_is_events_as_json_lines(registry):
    code, _, err = await registry.imagetools(
        "create", "--progress", "rawjson", "-t", f"{registry.host}/app:1", registry.source("amd64")
    )
    lines = [json.loads(line) for line in err.splitlines()]  # log lines and the result are objects too
    assert code == ExitCode.DONE
    assert "TagMoved" in {line.get("event") for line in lines}


async def test_copy_keeps_the_digest_at_every_destination(registry):
    await registry.create("-t", f"{registry.host}/app:1", registry.source("amd64"), registry.source("arm64"))
    places = (f"{registry.host}/two:1,latest", f"{registry.host}/three:x")
    code, _, err = await registry.imagetools("copy", f"{registry.host}/app:1", *places)
    assert code == ExitCode.DONE, err
    digest = registry.embedded.tags("app")["1"]
    assert registry.embedded.tags("two") == {"1": digest, "latest": digest}
    assert registry.embedded.tags("three") == {"x": digest}
    code, _, err = await registry.imagetools("copy", registry.source("s390x"), f"{registry.host}/single:1")
    assert str(registry.embedded.tags("single")["1"]) == registry.digests("s390x")[0], err


async def test_tag_sets_tags_in_the_repository_of_the_image(registry):
    code, _, err = await registry.imagetools("tag", registry.source("amd64"), "one", "two")
    assert code == ExitCode.DONE, err
    assert {str(digest) for digest in registry.embedded.tags("tmp").values()} == set(registry.digests("amd64"))
    assert set(registry.embedded.tags("tmp")) == {"one", "two"}


async def test_inspect_prints_bytes_json_or_text(registry):
    image = f"{registry.host}/app:1"
    await registry.create("-t", image, registry.source("amd64"), registry.source("arm64"))
    code, out, _ = await registry.imagetools("inspect", image, "--raw")
    assert (code, out.encode()) == (ExitCode.DONE, registry.embedded.manifest("app", "1")[1])
    _, out, _ = await registry.imagetools("inspect", image, "--raw", "--platform", "linux/arm64")
    assert str(Digest.of(out.encode())) == registry.digests("arm64")[0]
    _, out, _ = await registry.imagetools("inspect", image, "--output", "json")
    found = json.loads(out)
    assert (found["kind"], found["referrers"]) == ("index", 0)
    assert [one["digest"] for one in found["platforms"]] == registry.digests("amd64", "arm64")
    _, out, _ = await registry.imagetools("inspect", image)
    assert "linux/arm64" in out
    code, _, err = await registry.imagetools("inspect", f"{registry.host}/app:2")
    assert code == ExitCode.FAILED
    assert "app:2" in err


WRONG = {
    "no source": (["create", "-t", "a.example/b:1"], "SOURCE"),
    "no tag": (["create", "a.example/b:1"], "--tag"),
    "annotation of a manifest": (
        ["create", "-t", "a.example/b:1", "--annotation", "manifest:a=b", "a.example/c:1"], "change their digests",
    ),
    "annotation in a Docker list": (
        ["create", "-t", "a.example/b:1", "--media-type", "docker", "--annotation", "a=b", "a.example/c:1"],
        "no place for --annotation",
    ),
    "append without a tag": (["create", "--append", "-t", "a.example/b", "a.example/c:1"], "must name a tag"),
    "digest of an unknown repository": (["create", "--dry-run", f"sha256:{'0' * 64}"], "repository"),
    "manifest instead of a descriptor": (
        ["create", "-t", "a.example/b:1", '{"schemaVersion": 2}'], "expected its descriptor",
    ),
    "destination with a digest": (["copy", "a.example/b:1", f"a.example/c@sha256:{'0' * 64}"], "--tag"),
    "tag of another repository": (["tag", "a.example/b:1", "a.example/c:1"], "imagetools copy"),
    "platform": (["create", "-t", "a.example/b:1", "-p", "linux", "a.example/c:1"], "--platform"),
    "SOCI option": (["create", "-t", "a.example/b:1", "--soci", "span-size=x", "a.example/c:1"], "--soci"),
    "template": (["inspect", "a.example/b:1", "--format", "{{.Manifest}}"], "--output json"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "text"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_exit_code_2_before_any_request(words, text):
    ran = bakery("imagetools", *words)
    assert ran.code == ExitCode.USAGE, ran.err
    assert text in ran.err


async def test_soci_may_have_a_value_or_not(registry):
    for option in (["--soci"], ["--soci", "min-layer-size=0,span-size=4194304"]):
        out = await registry.create("--dry-run", *option, registry.source("amd64"))
        assert json.loads(out)["manifests"]


async def test_a_docker_list_holds_only_docker_manifests(registry):
    code, _, err = await registry.imagetools(
        "create", "-t", f"{registry.host}/app:1", "--media-type", "docker", registry.source("amd64")
    )
    assert code == ExitCode.FAILED
    assert "not a Docker manifest" in err


@pytest.fixture
def layout(registry):
    """A folder `layout` with two images as skopeo names them: `old`, for amd64, and `new`, for arm64."""
    folder = registry.folder / "layout"
    (folder / "blobs" / "sha256").mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entries = []
    for name, architecture in (("old", "amd64"), ("new", "arm64")):
        image = registry.images[architecture]
        raw = registry.embedded.manifest("tmp", image.digest)[1]
        listed = json.loads(raw)
        contents = [
            registry.embedded.blob("tmp", Digest.parse(one["digest"])) for one in (listed["config"], *listed["layers"])
        ]
        for content in (raw, *contents):
            (folder / "blobs" / "sha256" / Digest.of(content).hex).write_bytes(content)
        named = {"annotations": {"org.opencontainers.image.ref.name": name}}
        entries.append({"mediaType": mt.OCI_MANIFEST, "digest": str(image.digest), "size": image.size, **named})
    index = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": entries}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize(("name", "architecture"), [("old", "amd64"), ("new", "arm64")])
async def test_copy_of_a_named_image_of_a_layout_keeps_its_digest(registry, layout, name, architecture):
    code, _, err = await registry.imagetools("copy", f"oci-layout://{layout}:{name}", f"{registry.host}/app:1")
    assert code == ExitCode.DONE, err
    assert registry.embedded.tags("app") == {"1": registry.images[architecture].digest}


@pytest.mark.parametrize(("name", "architecture"), [("old", "amd64"), ("new", "arm64")])
async def test_inspect_of_a_named_image_of_a_layout_reads_only_the_layout(registry, layout, name, architecture):
    registry.embedded.forget_requests()
    place = "oci-layout://layout:" + name
    code, out, err = await registry.imagetools("inspect", place, "--output", "json")
    assert code == ExitCode.DONE, err
    found = json.loads(out)
    assert found["digest"] == str(registry.images[architecture].digest)
    assert [one["platform"] for one in found["platforms"]] == [f"linux/{architecture}"]
    assert found["referrers"] is None, "a layout has no referrers API"
    raw = (await registry.imagetools("inspect", place, "--raw"))[1]
    assert Digest.of(raw.encode()) == registry.images[architecture].digest
    assert registry.embedded.requests == []


@pytest.mark.parametrize("command", [("inspect",), ("copy", "HOST/app:1")])
@pytest.mark.parametrize("name", ["", ":other"])
async def test_an_image_that_a_layout_does_not_name_is_an_error_with_the_names_it_has(registry, layout, command, name):
    words = [command[0], f"oci-layout://layout{name}", *(one.replace("HOST", registry.host) for one in command[1:])]
    code, out, err = await registry.imagetools(*words)
    assert (code, out) == (ExitCode.CONFIGURATION, "")
    assert "old" in err
    assert "new" in err
    assert registry.embedded.count("PUT") == 0
