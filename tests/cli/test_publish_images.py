"""`bakery publish` without a project: digests, bake files, metadata files, layouts. The program as users run it."""

import json
import os
import shutil
from pathlib import Path

import pytest

from bakery.errors import ExitCode
from bakery.oci import manifest as views
from bakery.oci import media_type as mt
from bakery.oci.annotation import CREATED
from bakery.oci.digest import Digest
from bakery.oci.index import encode_index
from bakery.oci.manifest import Index, RawManifest
from tests.cli.test_publish import Stage, stage
from tests.engines.workload import add_image, layer

__all__ = ["stage"]  # a fixture

BUILDS = Path(__file__).parents[2] / "examples" / "hello" / "builds"
PLATFORMS = ("linux/amd64", "linux/arm64")


def push(stage: Stage, platform: str, path: str = "acme/app", salt: str = "") -> Digest:
    """Push the image of one platform by digest, as a runner does."""
    name = platform.replace("/v", "-v")
    text = f"{path} {platform} {salt}"
    os_name, architecture, *variant = platform.split("/")
    found = add_image(stage.source, path, f"{os_name}/{architecture}", layers=[layer(text)], salt=text)
    assert name
    if not variant:
        return found.digest
    entry = found.to_json() | {"platform": {"os": os_name, "architecture": architecture, "variant": variant[0]}}
    return stage.source.put_manifest(path, encode_index([entry]).raw)


def leave_digest(stage: Stage, digest: Digest, folder: str = "digests") -> None:
    """What a runner of the documented pattern does: `touch digests/${digest#sha256:}`."""
    (stage.folder / folder).mkdir(parents=True, exist_ok=True)
    (stage.folder / folder / digest.hex).touch()


def read(file: Path) -> str:
    return file.read_text()


def index(stage: Stage, path: str, tag: str) -> Index:
    view = views.parse(stage.destination.manifest(path, tag)[1])
    assert isinstance(view, Index)
    return view


def platforms(found: Index) -> list[str]:
    return [str(entry.platform) for entry in found.manifests]


def repository(stage: Stage, path: str = "acme/app") -> str:
    return f"{stage.source.address}/{path}"


def destination(stage: Stage, path: str = "acme/app") -> str:
    return f"{stage.destination.address}/{path}"


class TestThePatternOfDockersDocumentation:
    """https://docs.docker.com/build/ci/github-actions/multi-platform/: build on two runners, merge in a third job."""

    def metadata_action(self, stage, **more):
        """What docker/metadata-action sets in the merge job."""
        where = destination(stage)
        labels = {"org.opencontainers.image.title": "app", CREATED: "2026-11-28T20:00:00.000Z"}
        found = {
            "tags": [f"{where}:1.2.3", f"{where}:latest"],
            "labels": labels,
            "annotations": [f"manifest:{key}={value}" for key, value in labels.items()],
        }
        return {"DOCKER_METADATA_OUTPUT_JSON": json.dumps(found | more)}

    async def test_two_runners_and_one_merge_step_publish_one_index(self, stage):
        for platform in PLATFORMS:
            leave_digest(stage, push(stage, platform))
        output = stage.folder / "github-output"
        environment = self.metadata_action(stage) | {"GITHUB_OUTPUT": str(output)}
        command = ("publish", "--digests", "digests", "--from", repository(stage))
        code, out, err = await stage.bakery(*command, environment=environment)
        assert (code, out) == (ExitCode.DONE, ""), err
        found = index(stage, "acme/app", "latest")
        assert platforms(found) == list(PLATFORMS)
        assert found.annotations == {"org.opencontainers.image.title": "app", CREATED: "2026-11-01T00:00:00Z"}
        assert stage.destination.tags("acme/app")["1.2.3"] == stage.destination.tags("acme/app")["latest"]
        assert "Publishing 2 digests of" in err
        assert "2 tags from DOCKER_METADATA_OUTPUT_JSON" in err
        lines = output.read_text().splitlines()
        digest = str(stage.destination.tags("acme/app")["latest"])
        assert f"image={destination(stage)}" in lines
        assert f"digest={digest}" in lines
        begin = lines.index("tags<<END_OF_TAGS")
        assert lines[begin + 1 : begin + 3] == [f"{destination(stage)}:{tag}" for tag in ("1.2.3", "latest")]
        images = json.loads(next(line for line in lines if line.startswith("images=")).removeprefix("images="))
        assert images[0]["digest"] == digest
        summary = Path(next(line for line in lines if line.startswith("summary=")).removeprefix("summary="))
        assert json.loads(read(summary))["exit_code"] == 0

    async def test_a_second_run_finds_everything_in_place(self, stage):
        for platform in PLATFORMS:
            leave_digest(stage, push(stage, platform))
        command = ("publish", "--digests", "digests", "--from", repository(stage), "--output", "json")
        results = [await stage.bakery(*command, environment=self.metadata_action(stage)) for _ in range(2)]
        (first,), (second,) = (json.loads(out)["images"] for _, out, _ in results)
        assert (first["state"], second["state"]) == ("published", "unchanged")
        assert first["digest"] == second["digest"]
        assert first["platforms"] == list(PLATFORMS)
        assert first["tags"] == [f"{destination(stage)}:1.2.3", f"{destination(stage)}:latest"]

    async def test_tags_may_be_lines_in_place_of_json(self, stage):
        leave_digest(stage, push(stage, "linux/amd64"))
        environment = {
            "DOCKER_METADATA_OUTPUT_TAGS": f"{destination(stage)}:a\n{destination(stage)}:b",
            "DOCKER_METADATA_OUTPUT_ANNOTATIONS": "index:x=y\nmanifest:x=z",
        }
        command = ("publish", "--digests", "digests", "--from", repository(stage))
        code, _, err = await stage.bakery(*command, environment=environment)
        assert code == ExitCode.DONE, err
        assert set(stage.destination.tags("acme/app")) == {"a", "b"}
        assert index(stage, "acme/app", "a").annotations == {"x": "y"}

    @pytest.mark.parametrize(
        ("text", "code"),
        [("\ufeff{json}", ExitCode.DONE), ("[" * 100_000, ExitCode.CONFIGURATION)],
        ids=["BOM", "deep"],
    )
    async def test_an_odd_value_of_the_variable_is_read_or_named(self, stage, text, code):
        leave_digest(stage, push(stage, "linux/amd64"))
        found = self.metadata_action(stage)["DOCKER_METADATA_OUTPUT_JSON"]
        environment = {"DOCKER_METADATA_OUTPUT_JSON": text.replace("{json}", found)}
        command = ("publish", "--digests", "digests", "--from", repository(stage))
        got, _, err = await stage.bakery(*command, environment=environment)
        assert got == code, err
        assert "DOCKER_METADATA_OUTPUT_JSON" in err

    async def test_artifacts_that_were_not_merged_are_found_in_their_folders(self, stage):
        for platform in PLATFORMS:
            leave_digest(stage, push(stage, platform), f"digests/digests-{platform.replace('/', '-')}")
        command = ("publish", "--digests", "digests", "--from", repository(stage), "-t", f"{destination(stage)}:1")
        code, _, err = await stage.bakery(*command)
        assert code == ExitCode.DONE, err
        assert platforms(index(stage, "acme/app", "1")) == list(PLATFORMS)

    async def test_several_images_are_pairs_of_options(self, stage):
        words = []
        for name in ("app", "web"):
            leave_digest(stage, push(stage, "linux/amd64", f"acme/{name}"), f"digests/{name}")
            words += ["--digests", f"digests/{name}", "--from", repository(stage, f"acme/{name}")]
            words += ["-t", f"{destination(stage, f'to/{name}')}:1.0,latest"]
        code, out, err = await stage.bakery("publish", *words, "--output", "json")
        assert code == ExitCode.DONE, err
        assert [image["uid"] for image in json.loads(out)["images"]] == ["app", "web"]
        assert set(stage.destination.tags("to/app")) == set(stage.destination.tags("to/web")) == {"1.0", "latest"}
        assert stage.destination.tags("to/app")["1.0"] != stage.destination.tags("to/web")["1.0"]

    @pytest.mark.parametrize("folders", [("digests/app", "digests/web"), ("digests",)], ids=["each", "in one"])
    @pytest.mark.parametrize("shared", ["acme/{name}/tmp", "acme/tmp"])
    async def test_the_folders_of_several_images_share_one_repository_or_name_theirs(self, stage, folders, shared):
        words = ["--from", repository(stage, shared)]
        for name in ("app", "web"):
            leave_digest(stage, push(stage, "linux/amd64", shared.replace("{name}", name), name), f"digests/{name}")
            words += ["-t", f"{destination(stage, f'to/{name}')}:1"]
        for folder in folders:
            words += ["--digests", folder]
        code, _, err = await stage.bakery("publish", *words)
        assert code == ExitCode.DONE, err
        assert stage.destination.tags("to/app")["1"] != stage.destination.tags("to/web")["1"]

    async def test_a_single_image_may_have_a_folder_with_its_name(self, stage):
        leave_digest(stage, push(stage, "linux/amd64", "tmp/app"), "digests/app")
        command = ("publish", "--digests", "digests", "--from", repository(stage, "tmp/{name}"))
        code, _, err = await stage.bakery(*command, "-t", f"{destination(stage)}:1")
        assert code == ExitCode.DONE, err
        assert platforms(index(stage, "acme/app", "1")) == ["linux/amd64"]

    async def test_tags_of_an_image_without_a_folder_are_wrong_usage(self, stage):
        for name in ("app", "web"):
            leave_digest(stage, push(stage, "linux/amd64", f"tmp/{name}"), f"digests/{name}")
        command = ("publish", "--digests", "digests", "--from", repository(stage, "tmp/{name}"))
        tags = ("-t", f"{destination(stage)}:1", "-t", f"{destination(stage, 'acme/other')}:1")
        code, _, err = await stage.bakery(*command, *tags)
        assert code == ExitCode.USAGE
        assert "digests has no folder named other, and the tags are for app, other" in err

    async def test_a_stale_digest_is_refused_rather_than_published(self, stage):
        for salt in ("old", "new"):
            leave_digest(stage, push(stage, "linux/amd64", salt=salt))
        command = ("publish", "--digests", "digests", "--from", repository(stage), "-t", f"{destination(stage)}:1")
        code, _, err = await stage.bakery(*command)
        assert code == ExitCode.FAILED
        assert "two sources have an image for linux/amd64" in err
        assert (await stage.bakery(*command, "--on-duplicate", "newest"))[0] == ExitCode.DONE

    async def test_a_file_that_holds_its_digest_is_read(self, stage):
        # kaniko's `--digest-file` holds a digest, its `--image-name-with-digest-file` a reference (push.go at 013de40).
        first, second = (push(stage, platform) for platform in PLATFORMS)
        (stage.folder / "digests").mkdir()
        (stage.folder / "digests" / "amd64").write_text(str(first))
        (stage.folder / "digests" / "arm64").write_text(f"{repository(stage)}@{second}\n")
        command = ("publish", "--digests", "digests", "--from", repository(stage), "-t", f"{destination(stage)}:1")
        code, _, err = await stage.bakery(*command)
        assert code == ExitCode.DONE, err
        assert platforms(index(stage, "acme/app", "1")) == list(PLATFORMS)

    async def test_the_environment_never_chooses_the_mode(self, stage):
        stage.project("app")
        files = stage.build("app")
        code, _, err = await stage.bakery("publish", *files, environment=self.metadata_action(stage))
        assert code == ExitCode.DONE, err
        assert "Publishing the project bakery.yaml" in err
        assert "1.2.3" not in stage.published("app")
        assert "1.0.0" in stage.published("app")


class TestBakeFiles:
    """Targets, tags, platforms and annotations of a bake file; metadata files of several runs."""

    def bake(self, stage, *names, default=None, **more):
        targets = {
            name: {
                "context": ".",
                "tags": [f"{destination(stage, f'to/{name}')}:1.0", f"{destination(stage, f'to/{name}')}:latest"],
                "platforms": list(PLATFORMS),
                "annotations": [f"index:title={name}", "manifest:kind=image"],
            }
            | more
            for name in names
        }
        document = {"group": {"default": {"targets": list(default or names)}}, "target": targets}
        (stage.folder / "bake.json").write_text(json.dumps(document))

    def built(self, stage, *names, platforms=PLATFORMS):
        for platform in platforms:
            entries = {
                name: {
                    "image.name": repository(stage, f"tmp/{name}"),
                    "containerimage.digest": str(push(stage, platform, f"tmp/{name}")),
                }
                for name in names
            }
            file = stage.folder / f"metadata-{platform.replace('/', '-')}.json"
            file.write_text(json.dumps(entries | {"buildx.build.warnings": []}))

    async def test_every_target_goes_to_its_tags(self, stage):
        self.bake(stage, "app", "web")
        self.built(stage, "app", "web")
        code, out, err = await stage.bakery("publish", "--bake", "bake.json", "metadata-*.json", "--output", "json")
        assert code == ExitCode.DONE, err
        assert [image["uid"] for image in json.loads(out)["images"]] == ["app", "web"]
        for name in ("app", "web"):
            found = index(stage, f"to/{name}", "latest")
            assert found.annotations == {"title": name, "kind": "image"}
            assert platforms(found) == list(PLATFORMS)
        assert "2 targets of bake file bake.json" in err

    async def test_the_bake_file_may_come_from_a_pipe(self, stage):
        self.bake(stage, "app")
        self.built(stage, "app")
        document = (stage.folder / "bake.json").read_bytes()

        async def pipe(process):
            process.stdin.write(document)
            process.stdin.close()

        code, _, err = await stage.bakery("publish", "--bake", "-", "metadata-*.json", before_wait=pipe)
        assert code == ExitCode.DONE, err
        assert "1 target of bake file standard input" in err

    async def test_a_target_without_a_build_fails_and_the_others_are_published(self, stage):
        self.bake(stage, "app", "web")
        self.built(stage, "app")
        code, _, err = await stage.bakery("publish", "--bake", "bake.json", "metadata-*.json")
        assert code == ExitCode.FAILED
        assert "cannot publish target web: no metadata file has a build of it" in err
        assert "latest" in stage.destination.tags("to/app")

    async def test_targets_outside_the_default_group_need_no_build(self, stage):
        self.bake(stage, "app", "web", default=["app"])
        self.built(stage, "app")
        code, _, err = await stage.bakery("publish", "--bake", "bake.json", "metadata-*.json")
        assert code == ExitCode.DONE, err

    async def test_builds_of_targets_without_tags_alone_are_nothing_to_publish(self, stage):
        self.bake(stage, "app")
        self.built(stage, "app")
        document = json.loads((stage.folder / "bake.json").read_text())
        del document["target"]["app"]["tags"]
        (stage.folder / "bake.json").write_text(json.dumps(document))
        command = ("publish", "--bake", "bake.json", "metadata-*.json")
        code, _, err = await stage.bakery(*command)
        assert code == ExitCode.FAILED
        assert "nothing to publish: app: bake.json lists no tags for it" in err
        assert (await stage.bakery(*command, "--allow-empty"))[0] == ExitCode.DONE

    async def test_platforms_are_checked(self, stage):
        self.bake(stage, "app")
        self.built(stage, "app", platforms=("linux/amd64",))
        command = ("publish", "--bake", "bake.json", "metadata-*.json")
        code, _, err = await stage.bakery(*command)
        assert code == ExitCode.FAILED
        assert "bake.json declares linux/arm64, but there is no build for it" in err
        code, _, err = await stage.bakery(*command, "--allow-missing-platforms")
        assert code == ExitCode.DONE, err

    async def test_a_block_may_be_a_list_of_one_as_in_the_json_of_hcl(self, stage):
        self.bake(stage, "app")
        self.built(stage, "app")
        document = json.loads((stage.folder / "bake.json").read_text())
        listed = {key: {name: [block] for name, block in blocks.items()} for key, blocks in document.items()}
        (stage.folder / "bake.json").write_text(json.dumps(listed))
        code, _, err = await stage.bakery("publish", "--bake", "bake.json", "metadata-*.json")
        assert code == ExitCode.DONE, err

    async def test_metadata_that_real_buildx_left_is_published_from_a_layout(self, stage):
        names = [name for name in json.loads((BUILDS / "attested-amd64.json").read_text()) if "." not in name]
        self.bake(stage, *names)
        for file in BUILDS.glob("attested-*.json"):
            text = file.read_text().replace("registry.example", stage.source.address)
            (stage.folder / f"metadata-{file.name}").write_text(text)
        entries = json.loads((BUILDS / "attested-amd64.json").read_text())
        path = entries[names[0]]["image.name"].partition("/")[2]
        listed = json.loads((BUILDS / "layout" / "index.json").read_text())["manifests"]
        manifests = {entry["digest"].partition(":")[2] for entry in listed}
        for blob in (BUILDS / "layout").glob("blobs/*/*"):
            if blob.name in manifests:
                stage.source.put_manifest(path, blob.read_bytes())
            else:
                stage.source.put_blob(path, blob.read_bytes())
        code, _, err = await stage.bakery("publish", "--bake", "bake.json", "metadata-*.json")
        assert code == ExitCode.DONE, err
        for name in names:
            assert platforms(index(stage, f"to/{name}", "1.0"))[:2] == list(PLATFORMS)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ('target "app" {}', "HCL"),
            ("{}", "it has no `target`"),
            ('{"target": {"app": {"tags": ["a:${TAG}"]}}}', "has a variable"),
            ('{"target": {"app": {"tags": "a"}}}', "must be a list of strings"),
            ('{"target": {"app": {"tags": ["A/B:1"]}}}', "target app of bake.json"),
        ],
    )
    async def test_a_file_that_cannot_be_used_is_a_configuration_error(self, stage, text, why):
        self.built(stage, "app")
        (stage.folder / "bake.json").write_text(text)
        code, _, err = await stage.bakery("publish", "--bake", "bake.json", "metadata-*.json")
        assert code == ExitCode.CONFIGURATION
        assert why in err


class TestMetadataFiles:
    """What `docker buildx build --metadata-file` and build-push-action leave, flat or keyed."""

    async def test_flat_and_keyed_files_of_two_runners_become_one_image(self, stage):
        for number, platform in enumerate(PLATFORMS):
            entry = {"image.name": repository(stage), "containerimage.digest": str(push(stage, platform))}
            (stage.folder / f"m{number}.json").write_text(
                json.dumps(entry if number else {"buildx.build.ref": "x"} | entry)
            )
        code, _, err = await stage.bakery("publish", "-t", f"{destination(stage)}:1,latest", "m0.json", "m1.json")
        assert code == ExitCode.DONE, err
        assert platforms(index(stage, "acme/app", "latest")) == list(PLATFORMS)

    async def test_metadata_of_one_build_does_not_fit_a_bake_file(self, stage):
        (stage.folder / "bake.json").write_text(json.dumps({"target": {"app": {"tags": ["a/b:1"]}}}))
        entry = {"image.name": repository(stage), "containerimage.digest": str(Digest.of(b""))}
        (stage.folder / "m.json").write_text(json.dumps(entry))
        code, _, err = await stage.bakery("publish", "--bake", "bake.json", "m.json")
        assert code == ExitCode.CONFIGURATION
        assert "it is about one build and names no target" in err
        assert "hint: pass what `docker buildx bake --metadata-file` wrote" in err

    async def test_metadata_of_several_targets_does_not_fit_the_tag_of_one(self, stage):
        entry = {"image.name": repository(stage), "containerimage.digest": str(Digest.of(b""))}
        (stage.folder / "m.json").write_text(json.dumps({"app": entry, "web": entry}))
        code, _, err = await stage.bakery("publish", "-t", f"{destination(stage)}:1", "m.json")
        assert code == ExitCode.USAGE
        assert "no tag is for image web" in err
        assert "hint: pass the bake file with --bake: it names the tags of each target in the metadata" in err

    async def test_references_by_digest_are_sources(self, stage):
        sources = [f"{repository(stage)}@{push(stage, platform)}" for platform in PLATFORMS]
        code, _, err = await stage.bakery("publish", "-t", f"{destination(stage)}:1", *sources)
        assert code == ExitCode.DONE, err
        assert platforms(index(stage, "acme/app", "1")) == list(PLATFORMS)

    async def test_an_annotation_and_required_platforms_are_options(self, stage):
        names = (*PLATFORMS, "linux/riscv64", "linux/arm/v6")
        sources = [f"{repository(stage)}@{push(stage, platform)}" for platform in names]
        command = ["publish", "-t", f"{destination(stage)}:1", *sources, "--annotation", "x=y"]
        required = [word for name in names for word in ("--require-platform", name)]
        code, _, err = await stage.bakery(*command, *required[:-2])
        assert code == ExitCode.FAILED
        assert "linux/arm/v6, which --require-platform does not declare" in err
        code, _, err = await stage.bakery(*command, *required)
        assert code == ExitCode.DONE, err
        found = index(stage, "acme/app", "1")
        assert set(platforms(found)) == set(names)
        assert found.annotations == {"x": "y"}
        code, _, err = await stage.bakery(*command, *required, "--require-platform", "linux/rscv64")
        assert code == ExitCode.FAILED
        assert "'rscv64' is not a system or architecture that Go knows; did you mean riscv64?" in err


class TestLayouts:
    """OCI layouts as other programs leave them."""

    def blobs(self, folder: Path, *contents: bytes) -> None:
        for content in contents:
            place = folder / "blobs" / "sha256" / Digest.of(content).hex
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)

    def layout(self, stage, name: str, entries, *contents: bytes) -> Path:
        folder: Path = stage.folder / name
        self.blobs(folder, *contents)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
        return folder

    def image(self, platform: str, *, docker: bool = False) -> tuple[bytes, bytes, bytes]:
        os_name, architecture = platform.split("/")
        config = json.dumps({"os": os_name, "architecture": architecture, "created": "1970-01-01T00:00:00Z"}).encode()
        content = layer(platform)
        types = (mt.OCI_MANIFEST, mt.OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+gzip")
        if docker:
            types = (mt.DOCKER_MANIFEST, mt.DOCKER_CONFIG, "application/vnd.docker.image.rootfs.diff.tar.gzip")
        manifest = {
            "schemaVersion": 2,
            "mediaType": types[0],
            "config": {"mediaType": types[1], "digest": str(Digest.of(config)), "size": len(config)},
            "layers": [{"mediaType": types[2], "digest": str(Digest.of(content)), "size": len(content)}],
        }
        return json.dumps(manifest).encode(), config, content

    def entry(self, manifest: bytes, **more):
        return RawManifest.of(manifest, mt.OCI_MANIFEST).descriptor.bare().to_json() | more

    async def publish(self, stage, *sources: str):
        code, out, err = await stage.bakery("publish", "-t", f"{destination(stage)}:1", *sources, "--output", "json")
        assert code == ExitCode.DONE, err
        (image,) = json.loads(out)["images"]
        return image

    @pytest.mark.parametrize("form", ["folder", "tar"])
    async def test_an_image_of_buildx_by_its_digest_keeps_its_bytes(self, stage, form):
        where = BUILDS / "layout"
        if form == "tar":
            shutil.make_archive(str(stage.folder / "image"), "tar", where)
            where = stage.folder / "image.tar"
        digest = "sha256:9651344657d15ace394b0a7f8781a4e1acb8c58adab50841baf6beab002a8f93"
        image = await self.publish(stage, f"oci-layout://{where}@{digest}")
        assert (image["digest"], image["platforms"]) == (digest, ["linux/amd64"])

    async def test_one_manifest_without_platform_or_name(self, stage):
        """As kaniko writes it for `--oci-layout-path` (pkg/executor/push.go at 013de40): Docker types, from ggcr."""
        manifest, *blobs = self.image("linux/arm64", docker=True)
        self.layout(stage, "kaniko", [self.entry(manifest, mediaType=mt.DOCKER_MANIFEST)], manifest, *blobs)
        assert (await self.publish(stage, "oci-layout://kaniko"))["platforms"] == ["linux/arm64"]

    async def test_one_index_of_several_platforms(self, stage):
        """As rules_oci writes an `oci_image_index` (oci/private/image_index.sh.tpl at 03b32fb): no schemaVersion."""
        images = [self.image(platform) for platform in PLATFORMS]
        entries = []
        for platform, (manifest, *_) in zip(PLATFORMS, images, strict=True):
            os_name, architecture = platform.split("/")
            entries.append(self.entry(manifest, platform={"os": os_name, "architecture": architecture}))
        inner = encode_index(entries)
        contents = [content for image in images for content in image]
        folder = self.layout(stage, "rules_oci", [], inner.raw, *contents)
        entry = {"mediaType": mt.OCI_INDEX, "size": inner.descriptor.size, "digest": str(inner.descriptor.digest)}
        (folder / "index.json").write_text(json.dumps({"manifests": [entry]}))
        image = await self.publish(stage, "oci-layout://rules_oci")
        assert (image["digest"], image["platforms"]) == (str(inner.descriptor.digest), list(PLATFORMS))

    async def test_platforms_listed_in_index_json_itself(self, stage):
        """As `apko build` leaves it in a folder (internal/cli/testdata/base_image/index.json at 0504a54)."""
        images = [self.image(platform) for platform in PLATFORMS]
        entries = []
        for platform, (manifest, *_) in zip(PLATFORMS, images, strict=True):
            os_name, architecture = platform.split("/")
            entries.append(self.entry(manifest, platform={"os": os_name, "architecture": architecture}))
        self.layout(stage, "apko", entries, *[content for image in images for content in image])
        assert (await self.publish(stage, "oci-layout://apko"))["platforms"] == list(PLATFORMS)

    async def test_one_archive_per_platform_with_names(self, stage):
        """As `skopeo copy docker-archive:result oci-archive:FILE:NAME` writes what Nix's dockerTools made."""
        for platform in PLATFORMS:
            manifest, *blobs = self.image(platform)
            name = platform.partition("/")[2]
            entry = self.entry(manifest, annotations={"org.opencontainers.image.ref.name": "localhost/app:1.0"})
            folder = self.layout(stage, f"{name}.d", [entry], manifest, *blobs)
            shutil.make_archive(str(stage.folder / name), "tar", folder)
        image = await self.publish(stage, "oci-archive:amd64.tar:localhost/app:1.0", "oci-archive:arm64.tar:1.0")
        assert image["platforms"] == list(PLATFORMS)


async def test_a_layout_that_does_not_exist_is_named_before_anything_is_done(stage):
    code, _, err = await stage.bakery("publish", "-t", "a/b:1", "oci-layout://nowhere:1.0")
    assert code == ExitCode.CONFIGURATION
    assert "nowhere: it does not exist" in err


async def test_a_project_leaves_out_platforms_that_it_does_not_declare(stage):
    stage.project("app")
    files = stage.build("app", (*PLATFORMS, "linux/s390x"))
    code, _, err = await stage.bakery("publish", *files)
    assert code == ExitCode.DONE, err
    assert "left out linux/s390x, which bakery.yaml does not declare" in err
    assert platforms(index(stage, "acme/app", "latest")) == list(PLATFORMS)
    code, _, err = await stage.bakery("ci", "publish", *files, "--allow-extra-platforms")
    assert code == ExitCode.DONE, err
    assert platforms(index(stage, "acme/app", "latest")) == [*PLATFORMS, "linux/s390x"]


USAGE = {
    "digests without a repository": (["--digests", "d"], "missing --from"),
    "a repository without digests": (["--from", "a/b"], "each --from needs a folder"),
    "digests and a bake file": (["--digests", "d", "--from", "a/b", "--bake", "b.json"], "excludes --bake"),
    "digests and metadata": (["--digests", "d", "--from", "a/b", "m.json"], "other sources"),
    "a bake file and tags": (["--bake", "b.json", "-t", "a/b:1", "m.json"], "it excludes --tag"),
    "nothing": ([], "has no bakery.yaml"),
    "no tags": (["--digests", "d", "--from", "a/b"], "missing --tag"),
    "a tag with a digest": (["-t", f"a/b@sha256:{'0' * 64}", "m.json"], "a destination has no digest"),
    "an annotation for manifests": (["-t", "a/b:1", "--annotation", "manifest:a=b", "m.json"], "change their digests"),
    "an image filter": (["-t", "a/b:1", "--image-name", "x", "m.json"], "cannot use --image-name"),
    "a platform that is not one": (["-t", "a/b:1", "--require-platform", "arm64", "m.json"], "expected os["),
    "two results on stdout": (
        ["--digests", "d", "--from", "a/b", "-t", "a/b:1", "--output", "json", "--summary", "--summary-format", "json"],
        "both print on stdout",
    ),
}


@pytest.mark.parametrize(("words", "why"), USAGE.values(), ids=USAGE)
async def test_wrong_use_is_exit_code_2(stage, words, why):
    leave_digest(stage, Digest.of(b""), "d")
    (stage.folder / "m.json").write_text(
        json.dumps({"image.name": "a/b", "containerimage.digest": str(Digest.of(b""))})
    )
    code, out, err = await stage.bakery("publish", *words)
    assert (code, out) == (ExitCode.USAGE, ""), err
    assert why in err


async def test_an_empty_folder_is_nothing_to_publish(stage):
    (stage.folder / "digests").mkdir()
    command = ("publish", "--digests", "digests", "--from", "a/b", "-t", "a/b:1")
    assert (await stage.bakery(*command))[0] == ExitCode.FAILED
    assert (await stage.bakery(*command, "--allow-empty"))[0] == ExitCode.DONE


async def test_a_folder_with_other_files_is_named(stage):
    (stage.folder / "digests").mkdir()
    (stage.folder / "digests" / "README.md").write_text("hello")
    code, _, err = await stage.bakery("publish", "--digests", "digests", "--from", "a/b", "-t", "a/b:1")
    assert code == ExitCode.CONFIGURATION
    assert "digests/README.md: neither its name nor its content is a digest" in err


@pytest.mark.parametrize("option", ["--summary-file", "--journal", "--timeline", "--trace"])
async def test_a_pipe_that_no_process_reads_is_an_error_and_never_waited_for(stage, option):
    os.mkfifo(stage.folder / "pipe")
    source = f"{repository(stage)}@{push(stage, 'linux/amd64')}"
    code, _, err = await stage.bakery("publish", "-t", f"{destination(stage)}:1", source, option, "pipe")
    assert code in (ExitCode.FAILED, ExitCode.USAGE), err
    assert "it is a pipe that no process reads" in err


async def test_the_output_file_of_a_github_step_is_never_waited_for(stage):
    os.mkfifo(stage.folder / "pipe")
    source = f"{repository(stage)}@{push(stage, 'linux/amd64')}"
    environment = {"GITHUB_OUTPUT": "pipe", "RUNNER_TEMP": str(stage.folder)}
    code, _, err = await stage.bakery("publish", "-t", f"{destination(stage)}:1", source, environment=environment)
    assert code == ExitCode.FAILED
    assert "it is a pipe that no process reads" in err
    assert "1" in stage.destination.tags("acme/app")
