"""The command lines of the cli engine, and its dry run, which needs no program."""

import shlex
import subprocess
from pathlib import Path

import pytest

from bakery.config.schema.options import SociOptions
from bakery.engines.argv import Oras, dry_run_lines, soci_convert
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.plan import Destination, Plan, PlannedTarget, Source
from bakery.registry.config import RegistryConfig
from tests.program import PROGRAM

A, B = ("sha256:" + letter * 64 for letter in "ab")
HUB = Oras("oras", RegistryConfig())


def reference(text):
    repository, _, digest = text.partition("@")
    return Repository.parse(repository).with_digest(Digest.parse(digest))


def target(*sources, soci=None):
    return PlannedTarget(
        "app-1-0",
        "app",
        "1.0",
        "",
        "",
        tuple(Source(reference(source)) for source in sources),
        (
            Destination(Repository.parse("docker.io/acme/app"), ("1.0", "latest")),
            Destination(Repository.parse("ghcr.io/acme/app"), ("1.0",)),
        ),
        {"org.opencontainers.image.title": "App & more"},
        ("linux/amd64",),
        soci,
    )


def lines(*sources, soci=None, oras=HUB):
    return dry_run_lines(Plan((target(*sources, soci=soci),)), oras)


def test_the_commands_of_a_target_without_conversion():
    assert lines(f"ghcr.io/acme/app/tmp@{A}", f"ghcr.io/acme/app/tmp@{B}") == [
        "# app-1-0",
        f"oras manifest fetch --descriptor ghcr.io/acme/app/tmp@{A}",
        f"oras manifest fetch --descriptor ghcr.io/acme/app/tmp@{B}",
        f"oras manifest index create ghcr.io/acme/app/tmp {A} {B} "
        "--annotation 'org.opencontainers.image.created=<created>' "
        "--annotation 'org.opencontainers.image.title=App & more'",
        "oras cp 'ghcr.io/acme/app/tmp@<index-digest>' docker.io/acme/app",
        "oras cp 'ghcr.io/acme/app/tmp@<index-digest>' ghcr.io/acme/app",
        "oras tag 'docker.io/acme/app@<index-digest>' 1.0",
        "oras tag 'docker.io/acme/app@<index-digest>' latest",
        "oras manifest fetch --descriptor docker.io/acme/app:1.0",
        "oras manifest fetch --descriptor docker.io/acme/app:latest",
        "oras tag 'ghcr.io/acme/app@<index-digest>' 1.0",
        "oras manifest fetch --descriptor ghcr.io/acme/app:1.0",
    ]


def test_the_commands_of_a_converted_target():
    soci = SociOptions(platforms=("linux/amd64",), span_size=1)
    assert lines(f"ghcr.io/acme/app/tmp@{A}", soci=soci)[3:7] == [
        "oras cp --to-oci-layout 'ghcr.io/acme/app/tmp@<index-digest>' soci-standalone/src:image",
        "soci convert --standalone --format oci-dir --platform linux/amd64 --span-size 1 "
        "soci-standalone/src soci-standalone/out",
        "oras cp --from-oci-layout 'soci-standalone/out@<soci-index-digest>' ghcr.io/acme/app/tmp",
        "oras cp 'ghcr.io/acme/app/tmp@<soci-index-digest>' docker.io/acme/app",
    ]


def test_sources_in_several_repositories_are_copied_one_by_one():
    found = lines(f"ghcr.io/acme/app/tmp@{A}", f"ghcr.io/acme/other/tmp@{B}")
    assert f"oras cp ghcr.io/acme/other/tmp@{B} docker.io/acme/app" in found
    assert "oras manifest push --media-type '<media-type>' 'docker.io/acme/app@<index-digest>' '<index-file>'" in found
    assert not [line for line in found if "index create" in line]


def test_a_shell_splits_every_line_into_the_same_arguments():
    for line in lines(f"ghcr.io/acme/app/tmp@{A}", soci=SociOptions(prefetch_files=("/a b",))):
        if not line.startswith("#"):
            assert shlex.split(line)[0] in ("oras", "soci")


def test_every_conversion_option_is_passed_to_soci():
    request = SociOptions(span_size=1, min_layer_size=2, prefetch_files=("/a", "/b"), optimizations=("xattr",))
    assert soci_convert("soci", request, "in", "out") == (
        *("soci", "convert", "--standalone", "--format", "oci-dir", "--all-platforms"),
        *("--span-size", "1", "--min-layer-size", "2", "--prefetch-file", "/a", "--prefetch-file", "/b"),
        *("--optimizations", "xattr", "in", "out"),
    )


REACHED = {  # name: (registry, settings, words)
    "a loopback name is plain": ("localhost:5000", RegistryConfig(), ("--plain-http",)),
    "so is a loopback address": ("127.0.0.1:5000", RegistryConfig(), ("--plain-http",)),
    "nothing else is": ("registry.acme.test", RegistryConfig(), ()),
    "but what the variable names": (
        "registry.acme.test", RegistryConfig(plain_http=frozenset({"registry.acme.test"})), ("--plain-http",)
    ),
    "a CA of one's own": ("registry.acme.test", RegistryConfig(ca_file=Path("ca.pem")), ("--ca-file", "ca.pem")),
}  # fmt: skip


@pytest.mark.parametrize(("registry", "settings", "words"), REACHED.values(), ids=REACHED)
def test_plain_http_follows_the_rule_of_the_native_engine(registry, settings, words):
    oras = Oras("oras", settings)
    reference = f"{registry}/acme/app@{A}"
    assert oras.describe(reference) == ("oras", "manifest", "fetch", "--descriptor", *words, reference)
    copied = oras.copy(reference, f"{registry}/b")
    sides = [word.replace("--", side) for side in ("--from-", "--to-") for word in words]
    assert copied == ("oras", "cp", *sides, reference, f"{registry}/b")


def test_a_loopback_registry_that_speaks_tls_is_reached_over_tls():
    oras = Oras("oras", RegistryConfig(ca_file=Path("ca.pem")), frozenset({"localhost:5000"}))
    copied = oras.copy("localhost:5000/a", "localhost:5001/b")
    assert copied == (
        "oras",
        "cp",
        "--from-ca-file",
        "ca.pem",
        "--to-plain-http",
        "localhost:5000/a",
        "localhost:5001/b",
    )


def test_a_dry_run_prints_the_commands_and_needs_no_program(tmp_path):
    (tmp_path / "bakery.yaml").write_text(
        "repository: {url: github.com/acme/images, vendor: Acme, maintainer: {name: A, email: a@acme.test}}\n"
        "registries: [{host: ghcr.io, namespace: acme}]\n"
        "images: [{name: app, versions: [{name: 1.0.0}]}]\n"
    )
    (tmp_path / "app/1.0.0").mkdir(parents=True)
    (tmp_path / "app/1.0.0/Containerfile").touch()
    (tmp_path / "m.json").write_text(
        f'{{"app-1-0-0": {{"image.name": "ghcr.io/acme/app/tmp", "containerimage.digest": "{A}"}}}}'
    )
    done = subprocess.run(
        [
            *(*PROGRAM, "ci", "publish", "--dry-run"),
            *("--engine", "cli", "--context", str(tmp_path), str(tmp_path / "m.json")),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    assert done.returncode == 0, done.stderr
    assert f"oras manifest fetch --descriptor ghcr.io/acme/app/tmp@{A}" in done.stderr.splitlines()
    assert "oras cp 'ghcr.io/acme/app/tmp@<index-digest>' ghcr.io/acme/app" in done.stderr.splitlines()
