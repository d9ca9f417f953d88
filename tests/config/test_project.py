"""Defaults and inheritance in a loaded project, beyond those in the examples."""

import os

import pytest

from bakery.config.load import load_project
from bakery.config.systems import BuildSystem, build_system
from bakery.config.yaml.problem import InvalidProject
from bakery.errors import ConfigurationError
from tests.config import parsing

SYSTEMS = {
    "Ubuntu 24.04": ("ubuntu", "24.04", "noble", "debian"),
    "Ubuntu 22": ("ubuntu", "22.04", "jammy", "debian"),
    "ubuntu": ("ubuntu", "26.04", "resolute", "debian"),
    "Debian": ("debian", "13", "trixie", "debian"),
    "Debian 11.5": ("debian", "11", "bullseye", "debian"),
    "Red Hat 9": ("rhel", "9", None, "rhel"),
    "EL8": ("rhel", "8", None, "rhel"),
    "Alma Linux 9.4": ("alma", "9", None, "rhel"),
    "rockylinux": ("rocky", "10", None, "rhel"),
    "Scratch": ("scratch", "", None, "unknown"),
    "scratch 1": ("unknown", "", None, "unknown"),
    "Alpine 3.20": ("unknown", "", None, "unknown"),
    "Ubuntu 20.04": ("unknown", "", None, "unknown"),
    "24 Ubuntu": ("unknown", "", None, "unknown"),
}


@pytest.mark.parametrize(("name", "known"), SYSTEMS.items(), ids=SYSTEMS)
def test_a_name_refers_to_a_known_system(name, known):
    assert build_system(name) == BuildSystem(*known)


URLS = {
    "github.com/a/b": "https://github.com/a/b",
    "HTTPS://Example.ORG": "https://example.org/",
    "http://example.org:80/x": "http://example.org/x",
    "https://example.org:8443": "https://example.org:8443/",
}


@pytest.mark.parametrize(("text", "normal"), URLS.items(), ids=URLS)
def test_urls_are_normalized(text, normal):
    assert parsing.project(f"repository: {{url: '{text}'}}").repository.url == normal


PEOPLE = {
    "'Ann B <ann@example.org>'": "Ann B <ann@example.org>",
    "ann.b@example.org": "ann.b <ann.b@example.org>",
    "{name: Ann, email: whatever}": "Ann <whatever>",
    "{name: a@b, email: a@b.org}": '"a@b" <a@b.org>',
    "'\"Ann, B.\" <ann@EXAMPLE.org>'": "Ann, B. <ann@example.org>",
}


@pytest.mark.parametrize(("text", "printed"), PEOPLE.items(), ids=PEOPLE)
def test_a_person_is_printed_with_name_and_address(text, printed):
    assert str(parsing.project(f"repository: {{url: x.org, maintainer: {text}}}").repository.maintainer) == printed


def test_authors_are_sorted_case_insensitively_without_duplicates():
    text = "repository: {url: x.org, authors: [b@x.org, 'Zed <z@x.org>', 'ann <a@x.org>', b@x.org]}"
    assert [str(author) for author in parsing.project(text).repository.authors] == [
        "ann <a@x.org>", "b <b@x.org>", "Zed <z@x.org>",
    ]  # fmt: skip


def test_other_names_are_derived_from_the_name():
    image = parsing.image(
        "name: my-first.app\nvariants: [{name: Extra Tools GPU}]\nversions: [{name: A B, os: [{name: Ubuntu 24.04}]}]"
    ).images[0]
    assert (image.display_name, image.subpath) == ("My First.App", "my-first.app")
    assert (image.variants[0].extension, image.variants[0].tag_name) == ("extratoolsgpu", "extra-tools-gpu")
    version = image.versions[0]
    assert version.subpath == "a-b"
    assert (version.systems[0].extension, version.systems[0].tag_name) == ("ubuntu2404", "ubuntu-24.04")
    assert version.systems[0].platforms == ("linux/amd64",)


def test_systems_are_sorted_and_a_single_one_is_always_primary():
    image = parsing.image(
        "versions: [{name: a, os: [{name: b, primary: true}, {name: a}]}, {name: b, os: [{name: x, primary: false}]}]"
    ).images[0]
    assert [(one.name, one.primary) for one in image.versions[0].systems] == [("a", False), ("b", True)]
    assert image.versions[1].systems[0].primary


def test_booleans_and_numbers_are_read_leniently():
    image = parsing.image(
        "versions: [{name: a, latest: 'YES', os: [{name: U}]}]\n"
        "options: [{tool: goss, wait: '7'}, {tool: soci, enabled: on}]"
    ).images[0]
    assert image.versions[0].latest
    assert image.options["goss"].wait == 7
    assert image.options["soci"].enabled


REGISTRIES = """\
registries: [{host: g.org, namespace: n}]
images:
  - name: app
    IMAGE
    versions:
      - {name: a, VERSION}
"""
LEVELS = {
    "global": ("", "", ["g.org/n/app"]),
    "image adds": ("extraRegistries: [{host: i.org}]", "", ["g.org/n/app", "i.org/app"]),
    "image replaces": ("overrideRegistries: [{host: i.org}]", "", ["i.org/app"]),
    "version adds": ("", "extraRegistries: [{host: v.org}]", ["g.org/n/app", "v.org/app"]),
    "version adds to the image's": (
        "overrideRegistries: [{host: i.org}]", "extraRegistries: [{host: v.org}]", ["i.org/app", "v.org/app"]),
    "version replaces": ("extraRegistries: [{host: i.org}]", "overrideRegistries: [{host: v.org, repository: r}]",
                         ["v.org/r"]),
    "unique by destination": ("extraRegistries: [{host: g.org, namespace: n, repository: app}]", "", ["g.org/n/app"]),
    "an empty list replaces nothing": ("overrideRegistries: []", "", ["g.org/n/app"]),
    "a host with a path and a slash": ("overrideRegistries: [{host: 'i.org/x/'}]", "", ["i.org/x/app"]),
}  # fmt: skip


@pytest.mark.parametrize(("image", "version", "wanted"), LEVELS.values(), ids=LEVELS)
def test_registries_are_inherited(image, version, wanted):
    text = REGISTRIES.replace("IMAGE", image or "description: x").replace("VERSION", version or "latest: true")
    assert list(parsing.project(text).images[0].versions[0].repositories) == wanted


OPTIONS = {
    "a field of the variant overrides even with its default": (
        "[{tool: goss, wait: 5, command: img}]", "[{tool: goss, wait: 0}]", (0, "img", 900)),
    "a variant without options takes the image's": ("[{tool: goss, wait: 5}]", None, (5, "sleep infinity", 900)),
    "a variant with options of another tool does too": (
        "[{tool: goss, wait: 5}]", "[{tool: soci}]", (5, "sleep infinity", 900)),
    "no options at all": ("[]", None, (0, "sleep infinity", 900)),
}  # fmt: skip


@pytest.mark.parametrize(("image", "variant", "wanted"), OPTIONS.values(), ids=OPTIONS)
def test_options_are_merged_field_by_field(image, variant, wanted):
    own = f", options: {variant}" if variant else ""
    project = parsing.image(f"options: {image}\nvariants: [{{name: v{own}}}]")
    goss = project.images[0].variants[0].options["goss"]
    assert (goss.wait, goss.command, goss.timeout) == wanted


def test_a_target_without_a_variant_has_the_options_of_the_image():
    image = parsing.image("options: [{tool: goss, wait: 3}, {tool: hadolint, ignored: []}]").images[0]
    assert image.options["goss"].wait == 3
    assert image.options["hadolint"].ignored == ()


def test_soci_options_may_be_in_camel_case_or_snake_case():
    image = parsing.image("options: [{tool: soci, spanSize: 1, min_layer_size: 2, prefetchFiles: [a]}]").images[0]
    soci = image.options["soci"]
    assert (soci.span_size, soci.min_layer_size, soci.prefetch_files, soci.platforms) == (1, 2, ("a",), None)


def test_an_empty_pattern_list_means_no_tags_and_patterns_of_variants_are_added():
    image = parsing.image("tagPatterns: []\nvariants: [{name: v, tagPatterns: [{patterns: [x]}]}]").images[0]
    assert image.tag_patterns == ()
    assert image.variants[0].tag_patterns[0].patterns == ("x",)


def test_the_build_target_of_a_version_overrides_that_of_the_image():
    image = parsing.image("buildTarget: i\nversions: [{name: a, buildTarget: v}, {name: b}]").images[0]
    assert [version.build_target for version in image.versions] == ["v", "i"]


@pytest.mark.parametrize(
    "url", ["https://x.org/$V.deb", "https://${HOST}/a", "${BASE}/a", "http://x.org:${PORT}/a"], ids=str
)
def test_download_urls_may_contain_variables(url):
    image = parsing.image(f"versions: [{{name: a, os: [{{name: U, artifactDownloadURL: '{url}'}}]}}]").images[0]
    assert image.versions[0].systems[0].download_url == url


@pytest.mark.parametrize(
    "platform",
    ["linux/riscv64", "linux/s390x", "linux/ppc64le", "linux/arm/v6", "windows(10.0.20348.2966)/amd64", "wasi/wasm"],
)
def test_any_platform_can_be_declared(platform):
    project = parsing.project(
        f"images: [{{name: a, versions: [{{name: b, os: [{{name: U, platforms: ['{platform}']}}]}}]}}]"
    )
    assert project.images[0].versions[0].systems[0].platforms == (platform,)
    assert [problem.message for problem in project.problems if "Go knows" in problem.message] == []


@pytest.mark.parametrize(
    ("platform", "word", "hint"),
    [("linux/x86_64", "x86_64", "amd64"), ("linux/aarch64", "aarch64", "arm64"), ("linus/amd64", "linus", "linux"),
     ("linux/riscv46", "riscv46", "riscv64"), ("linux/zzz", "zzz", "")],
)  # fmt: skip
def test_a_word_that_go_does_not_know_is_a_warning_with_the_nearest(platform, word, hint):
    project = parsing.project(
        f"images: [{{name: a, versions: [{{name: b, os: [{{name: U, platforms: [{platform}]}}]}}]}}]"
    )
    (problem,) = [problem for problem in project.problems if "Go knows" in problem.message]
    assert problem.path == "images[0].versions[0].os[0].platforms[0]"
    assert problem.message.startswith(f"{word!r} is not")
    assert problem.hint == (f"write {hint}" if hint else "")


def test_a_project_file_that_is_a_link_out_of_the_project_is_refused_without_quoting_it(tmp_path):
    (tmp_path / "secret").write_text("password: CANARY: x\n")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "bakery.yaml").symlink_to(tmp_path / "secret")
    with pytest.raises(ConfigurationError, match="link to a file outside") as caught:
        load_project(tmp_path / "project")
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_project_file_that_is_not_a_regular_file_is_refused(tmp_path, make):
    make(tmp_path / "bakery.yaml")
    with pytest.raises(ConfigurationError, match="not a regular file"):
        load_project(tmp_path)


def test_a_link_within_the_project_is_read(tmp_path):
    (tmp_path / "shared.yaml").write_text("x: 1\n")
    (tmp_path / "bakery.yaml").symlink_to("shared.yaml")
    with pytest.raises(InvalidProject):
        load_project(tmp_path)


def test_a_rule_of_the_tag_policy_of_an_image_overrides_that_of_the_project():
    text = "repository: {url: example.org}\ntagPolicy: {latest: no-downgrade, version: immutable}\n"
    image = parsing.project(text + "images: [{name: a, tagPolicy: {latest: if-newer}}]").images[0]
    assert image.tag_policy == {"latest": "if-newer", "version": "immutable"}


def test_a_project_without_a_tag_policy_sets_no_rule():
    assert parsing.image("").images[0].tag_policy == {}
