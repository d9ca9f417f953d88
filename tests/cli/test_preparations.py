"""What happens between staging and the first tag: attachments, copies of referrers, the command that may veto."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakery.engines.referrers import MAX_ARTIFACTS
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.rehearsal.traits import Traits
from tests import written
from tests.clean.making import image_of, index_of, pointer, push, push_image, signature_tag
from tests.engines.workload import add_image, layer
from tests.program import run_bakery

IMAGE = "application/vnd.oci.image.manifest.v1+json"
SPDX = "application/spdx+json"


@dataclass
class Kitchen:
    """A source, a registry with the referrers API, and one without it."""

    source: EmbeddedRegistry
    modern: EmbeddedRegistry
    old: EmbeddedRegistry
    folder: Path
    image: Descriptor

    @property
    def destinations(self) -> tuple[str, ...]:
        return ("-t", f"{self.modern.address}/app:1", "-t", f"{self.old.address}/app:1")

    @property
    def reference(self) -> str:
        return f"{self.source.address}/tmp@{self.image.digest}"

    async def imagetools(self, *arguments: str) -> tuple[int, str]:
        code, _, err = await run_bakery(self.folder, "imagetools", *arguments)
        return code, err

    async def create(self, *arguments: str) -> None:
        code, err = await self.imagetools("create", *self.destinations, self.reference, *arguments)
        assert code == 0, err

    def referrers(self, registry: EmbeddedRegistry, subject: Digest) -> list[dict[str, Any]]:
        """What a client finds: by the API, or under the fallback tag."""
        if registry is self.modern:
            return registry.storage.referrers("app", subject)
        if signature_tag(subject, "") not in registry.tags("app"):
            return []
        listed: list[dict[str, Any]] = json.loads(registry.manifest("app", signature_tag(subject, ""))[1])["manifests"]
        return listed


@pytest.fixture
async def kitchen(tmp_path):
    async with (
        EmbeddedRegistry() as source,
        EmbeddedRegistry() as modern,
        EmbeddedRegistry(traits=Traits(referrers=False)) as old,
    ):
        image = add_image(source, "tmp", "linux/amd64", layers=[layer("one")])
        (tmp_path / "sbom.json").write_text('{"spdxVersion": "SPDX-2.3"}')
        yield Kitchen(source, modern, old, tmp_path, image)


async def test_a_file_is_attached_to_the_index_at_every_destination(kitchen):
    await kitchen.create("--attach", f"sbom.json:{SPDX}")
    for registry in (kitchen.modern, kitchen.old):
        index = registry.tags("app")["1"]
        (entry,) = kitchen.referrers(registry, index)
        assert entry["artifactType"] == SPDX
        document = json.loads(registry.manifest("app", Digest.parse(entry["digest"]))[1])
        assert document["subject"]["digest"] == str(index)
        (blob,) = document["layers"]
        assert blob["annotations"] == {"org.opencontainers.image.title": "sbom.json"}
        assert registry.blob("app", blob["digest"]) == (kitchen.folder / "sbom.json").read_bytes()


async def test_a_second_run_attaches_nothing_again(kitchen):
    await kitchen.create("--attach", f"sbom.json:{SPDX}")
    for registry in (kitchen.modern, kitchen.old):
        registry.forget_requests()
    await kitchen.create("--attach", f"sbom.json:{SPDX}")
    for registry in (kitchen.modern, kitchen.old):
        assert {request.method for request in registry.requests} <= {"GET", "HEAD"}


@pytest.mark.parametrize("value", ["sbom.json", "sbom.json:", f"missing.json:{SPDX}", f":{SPDX}", "sbom.json:a b/c"])
async def test_what_cannot_be_attached_is_wrong_usage_before_anything_is_sent(kitchen, value):
    code, err = await kitchen.imagetools("create", *kitchen.destinations, kitchen.reference, "--attach", value)
    assert (code, "invalid value for --attach" in err) == (2, True)
    assert kitchen.modern.requests == []


async def test_a_failing_attachment_moves_no_tag_there(kitchen):
    kitchen.old.fault("PUT", "/manifests/", then="answer 500", skip=2)  # after the image and its index
    arguments = ("--attach", f"sbom.json:{SPDX}", "--time-budget", "4", "--all-or-nothing", "run")
    code, err = await kitchen.imagetools("create", *kitchen.destinations, kitchen.reference, *arguments)
    assert code == 1, err
    assert kitchen.modern.tags("app") == kitchen.old.tags("app") == {}


async def test_referrers_signatures_and_what_refers_to_them_are_copied(kitchen):
    source = kitchen.source
    raw = source.manifest("tmp", kitchen.image.digest)[1]
    sbom, raw_sbom = push_image(source, "sbom", name="tmp", subject=pointer(raw, IMAGE), artifactType=SPDX)
    of_sbom, _ = push_image(source, "signature of the SBOM", name="tmp", subject=pointer(raw_sbom, IMAGE))
    signature, _ = push_image(source, "signature", signature_tag(kitchen.image.digest), name="tmp")
    parts = push_image(source, "part", name="tmp")[1]
    bundle = push(source, index_of([parts], pointer(raw, IMAGE)), name="tmp")
    await kitchen.create("--referrers")
    for registry in (kitchen.modern, kitchen.old):
        listed = {one["digest"] for one in kitchen.referrers(registry, kitchen.image.digest)}
        assert listed == {str(sbom), str(bundle)}
        assert [one["digest"] for one in kitchen.referrers(registry, sbom)] == [str(of_sbom)]
        assert registry.tags("app")[signature_tag(kitchen.image.digest)] == signature
        assert registry.blob("app", Digest.of(image_of("sbom")[2])) == image_of("sbom")[2]


async def test_referrers_of_an_index_that_is_copied_follow_it(kitchen):
    source = kitchen.source
    raw = source.manifest("tmp", kitchen.image.digest)[1]
    index = push(source, index_of([raw]), "whole", name="tmp")
    attestation, _ = push_image(
        source, "attestation", name="tmp", subject=pointer(index_of([raw]), "application/vnd.oci.image.index.v1+json")
    )
    code, err = await kitchen.imagetools(
        "copy", f"{source.address}/tmp:whole", f"{kitchen.modern.address}/app:1", "--referrers"
    )
    assert code == 0, err
    assert kitchen.modern.tags("app") == {"1": index}
    assert [one["digest"] for one in kitchen.referrers(kitchen.modern, index)] == [str(attestation)]


async def test_without_the_option_nothing_that_refers_to_the_sources_is_copied(kitchen):
    raw = kitchen.source.manifest("tmp", kitchen.image.digest)[1]
    push_image(kitchen.source, "sbom", name="tmp", subject=pointer(raw, IMAGE))
    await kitchen.create()
    assert kitchen.referrers(kitchen.modern, kitchen.image.digest) == []


async def test_signatures_at_the_destination_are_not_replaced(kitchen):
    tag = signature_tag(kitchen.image.digest)
    push_image(kitchen.source, "theirs", tag, name="tmp")
    ours, _ = push_image(kitchen.modern, "ours", tag, name="app")
    code, err = await kitchen.imagetools("create", *kitchen.destinations, kitchen.reference, "--referrers")
    assert code == 0
    assert kitchen.modern.tags("app")[tag] == ours
    assert "is left as it is" in err


async def test_endless_referrers_are_refused(kitchen):
    raw = kitchen.source.manifest("tmp", kitchen.image.digest)[1]
    for number in range(MAX_ARTIFACTS + 1):
        push(kitchen.source, image_of("x", subject=pointer(raw, IMAGE), number=number)[0], name="tmp")
    code, err = await kitchen.imagetools("create", *kitchen.destinations, kitchen.reference, "--referrers")
    assert code == 1
    assert f"more than {MAX_ARTIFACTS:,} manifests refer to it" in err
    assert kitchen.modern.tags("app") == {}


async def test_a_long_chain_of_referrers_is_refused(kitchen):
    raw = kitchen.source.manifest("tmp", kitchen.image.digest)[1]
    for number in range(8):
        raw = push_image(kitchen.source, f"{number}", name="tmp", subject=pointer(raw, IMAGE))[1]
    code, err = await kitchen.imagetools("create", *kitchen.destinations, kitchen.reference, "--referrers")
    assert code == 1
    assert "refer to each other more than" in err


@pytest.fixture
def check(kitchen):
    """A command for --before-commit, which keeps what it reads and exits with the code in the file `code`."""
    script = kitchen.folder / "check.py"
    script.write_text(
        "import pathlib, sys\n"
        "with open('calls.jsonl', 'a') as calls:\n"
        "    calls.write(sys.stdin.read())\n"
        "print('scanned')\n"
        "sys.exit(int(pathlib.Path('code').read_text()))\n"
    )
    (kitchen.folder / "code").write_text("0")
    return ("--before-commit", f"{sys.executable} check.py")


def calls(kitchen: Kitchen) -> list[dict[str, Any]]:
    file = kitchen.folder / "calls.jsonl"
    found = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    for document in found:
        written.check_document(document)
    return found


async def test_the_command_reads_what_is_staged_before_any_tag_moves(kitchen, check):
    await kitchen.create(*check)
    (call,) = calls(kitchen)
    index = kitchen.modern.tags("app")["1"]
    known = call["deliveries"][0].keys() - {"target", "image", "version"}
    assert [{name: one[name] for name in known} for one in call["deliveries"]] == [
        {
            "repository": f"{registry.address}/app",
            "tags": ["1"],
            "digest": str(index),
            "platforms": {"linux/amd64": str(kitchen.image.digest)},
            "staged": True,
            "error": None,
        }
        for registry in (kitchen.modern, kitchen.old)
    ]
    assert {one["target"] for one in call["deliveries"]} == {f"{kitchen.modern.address}/app:1"}


async def test_a_veto_moves_no_tag_and_is_shown_with_the_last_line_of_the_command(kitchen, check):
    (kitchen.folder / "code").write_text("3")
    code, err = await kitchen.imagetools("create", *kitchen.destinations, kitchen.reference, *check)
    assert code == 1
    assert "error[publish/vetoed]: " in err
    assert "no tag moves because of --before-commit" in err
    assert "it exited with 3: scanned" in err
    assert kitchen.modern.tags("app") == kitchen.old.tags("app") == {}
    assert len(calls(kitchen)) == 1
    (kitchen.folder / "code").write_text("0")
    await kitchen.create(*check)
    assert set(kitchen.modern.tags("app")) == {"1"}


async def test_the_command_sees_what_failed_and_decides(kitchen, check):
    kitchen.old.fault("PUT", "/manifests/", then="answer 500")
    arguments = (*check, "--time-budget", "4")
    code, _ = await kitchen.imagetools("create", *kitchen.destinations, kitchen.reference, *arguments)
    assert code == 1
    (call,) = calls(kitchen)
    assert [one["staged"] for one in call["deliveries"]] == [True, False]
    assert "500" in call["deliveries"][1]["error"]
    assert set(kitchen.modern.tags("app")) == {"1"}, "it exited with 0"


@pytest.mark.parametrize(("command", "code"), [("", 2), ("'", 2), ("   ", 2), ("/does/not/exist", 2), ("nowhere", 2)])
async def test_a_command_that_is_none(kitchen, command, code):
    done, err = await kitchen.imagetools("create", *kitchen.destinations, kitchen.reference, "--before-commit", command)
    assert done == code, err
    assert kitchen.modern.requests == [], "a variable that is not set must not skip the check"


async def test_a_dry_run_asks_no_command(kitchen, check):
    code, _ = await kitchen.imagetools("create", *kitchen.destinations, kitchen.reference, "--dry-run", *check)
    assert code == 0
    assert calls(kitchen) == []


async def test_signing_without_cosign_is_an_error_before_anything_is_sent(kitchen, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("COSIGN_PATH", raising=False)
    code, err = await kitchen.imagetools("create", *kitchen.destinations, kitchen.reference, "--sign", "cosign")
    assert code == 1
    assert "cannot find program cosign" in err
    assert kitchen.modern.requests == []


@pytest.mark.parametrize("option", ["--sign-option=--tlog-upload=false", "--sign-key=cosign.key"])
async def test_options_of_signing_need_it(kitchen, option):
    code, err = await kitchen.imagetools("create", *kitchen.destinations, kitchen.reference, option)
    assert (code, "missing option --sign" in err) == (2, True)
    assert kitchen.modern.requests == []


@pytest.mark.parametrize("option", ["--immutable", "--keep-previous", "--sign-key"])
async def test_an_empty_value_is_wrong_usage_and_not_the_absence_of_the_option(kitchen, option):
    words = ("create", *kitchen.destinations, kitchen.reference, "--sign", "cosign", option, "")
    code, err = await kitchen.imagetools(*words)
    assert (code, f"invalid value for {option}: it is empty" in err) == (2, True)
    assert kitchen.modern.requests == []


async def test_a_key_file_that_does_not_exist_is_wrong_usage(kitchen):
    words = ("create", *kitchen.destinations, kitchen.reference, "--sign", "cosign", "--sign-key", "no.key")
    code, err = await kitchen.imagetools(*words)
    assert (code, "invalid value for --sign-key 'no.key': no such file" in err) == (2, True)
    assert kitchen.modern.requests == []


async def test_a_key_in_the_environment_does_not_need_the_option_to_sign(kitchen, monkeypatch):
    monkeypatch.setenv("COSIGN_KEY", "cosign.key")
    code, err = await kitchen.imagetools("create", *kitchen.destinations, kitchen.reference)
    assert code == 0, err


async def test_offline_without_a_dry_run_publishes_nothing(kitchen):
    code, err = await kitchen.imagetools("create", *kitchen.destinations, kitchen.reference, "--offline")
    assert (code, "hint: pass --dry-run" in err) == (2, True)
    assert kitchen.modern.requests == []
