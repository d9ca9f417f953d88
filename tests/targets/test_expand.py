"""Targets beyond the examples: order, uids, tags claimed twice, cache names, labels."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bakery.config.yaml.problem import InvalidProject
from bakery.targets.expand import check_expansion, contested, defined_targets, secret_findings, sort_key
from bakery.targets.labels import created
from bakery.targets.select import Selection, select
from tests.config import parsing
from tests.hypothesis_profiles import examples


def targets(text, **wanted):
    return select(parsing.image(text), Selection(**wanted)).targets


def test_two_targets_with_the_same_uid_are_an_error_with_the_uid():
    with pytest.raises(InvalidProject, match="'app-1-0-0'"):
        targets("versions: [{name: 1.0.0}, {name: 1.0-0}]")


def test_two_rows_with_the_same_name_are_an_error():
    with pytest.raises(InvalidProject, match="'app-x'"):
        targets("matrix: {namePattern: x, values: {a: [b, c]}}", matrix_versions="include")


CLAIMED = {
    "two builds of one version": "versions: [{name: 1.0.0-1}, {name: 1.0.0-2}]",
    "a variant and a system with the same tag name": (
        "variants: [{name: a, primary: true, tagDisplayName: ubuntu-24.04}, {name: b}]\n"
        "versions: [{name: 1.0.0, latest: true, os: [{name: Ubuntu 24.04, primary: true}, {name: X, "
        "tagDisplayName: ubuntu-24.04}]}]"),
}  # fmt: skip


@pytest.mark.parametrize("text", CLAIMED.values(), ids=CLAIMED)
def test_two_targets_that_claim_the_same_tag_are_a_warning_and_an_error_with_strict(text):
    project = parsing.image(text)
    selected = select(project, Selection())
    (claim, *_) = contested(selected.targets)
    warnings = [str(problem) for problem in selected.problems if "claim the same tag" in problem.message]
    assert any(all(uid in line for uid in claim.uids) for line in warnings)
    with pytest.raises(InvalidProject, match="claim the same tag"):
        select(project, Selection(), strict=True)
    with pytest.raises(InvalidProject):
        check_expansion(project, strict=True)
    assert check_expansion(project).problems


def test_a_claimed_tag_is_reported_even_if_a_filter_excludes_the_other_target():
    project = parsing.image("versions: [{name: 1.0.0-1}, {name: 1.0.0-2}]")
    selected = select(project, Selection(image_version="1.0.0-1"))
    assert any("1-0-0-2" in problem.message for problem in selected.problems)


def test_targets_without_a_registry_have_references_without_a_host():
    (target,) = targets("versions: [{name: 1.0.0, latest: true}]")
    assert target.references == ("app:1.0.0", "app:latest")
    assert target.destinations == (("app", ("1.0.0", "latest")),)


def test_targets_are_in_plain_character_order():
    found = targets("versions: [{name: '10'}, {name: '9'}, {name: 9.1.0}, {name: 9-x}]")
    assert [target.version for target in found] == ["10", "9", "9-x", "9.1.0"]


CACHES = {
    "one platform": ("linux/amd64", (), "ghcr.io/x/app/cache:1.0.0-rc1-ubuntu-24.04-amd64"),
    "two platforms": ("linux/amd64, linux/arm64", (), "ghcr.io/x/app/cache:1.0.0-rc1-ubuntu-24.04"),
    "one of two": ("linux/amd64, linux/arm64", ("linux/arm64",), "ghcr.io/x/app/cache:1.0.0-rc1-ubuntu-24.04-arm64"),
}


@pytest.mark.parametrize(("platforms", "built", "name"), CACHES.values(), ids=CACHES)
def test_the_cache_name_has_the_version_system_and_single_platform(platforms, built, name):
    (target,) = targets(f"versions: [{{name: 1.0.0-rc1+7, os: [{{name: Ubuntu 24.04, platforms: [{platforms}]}}]}}]")
    assert target.cache_name("ghcr.io/x", built) == name
    assert target.temp_name("localhost:5000/x") == "localhost:5000/x/app/tmp"


def test_the_variant_minimal_has_no_labels_for_dependencies():
    found = targets(
        "variants: [{name: Minimal}, {name: minimal-too}]\n"
        "versions: [{name: a, dependencies: [{dependency: R, version: '4, 3'}]}]"
    )
    assert [target.labels.get("co.posit.image.tools.R") for target in found] == [None, "4, 3"]


def labels_of(repository):
    found = select(
        parsing.project(f"repository: {repository}\nimages: [{{name: app, versions: [{{name: a}}]}}]"), Selection()
    )
    return found.targets[0].labels


def test_what_a_project_does_not_name_has_no_label():
    silent = labels_of("{url: x.org, vendor: ''}")
    assert silent["org.opencontainers.image.source"] == "https://x.org/"
    assert not {"org.opencontainers.image.vendor", "co.posit.image.maintainer"} & silent.keys()
    named = labels_of("{url: x.org, vendor: Acme, maintainer: a@acme.example}")
    assert named["org.opencontainers.image.vendor"] == "Acme"
    assert named["co.posit.image.maintainer"] == "a <a@acme.example>"


def test_the_label_namespace_replaces_the_prefix_of_every_label_that_is_not_of_oci():
    text = "{url: x.org, maintainer: a@acme.example, labelNamespace: org.acme.image}"
    project = parsing.project(
        f"repository: {text}\nimages: [{{name: app, description: d, documentationUrl: x.org, variants: [{{name: v}}], "
        "versions: [{name: a, os: [{name: o}], dependencies: [{dependency: R, version: '4'}]}]}]"
    )
    project = replace(project, revision="0" * 40)
    own = {key for key in select(project, Selection()).targets[0].labels if "opencontainers" not in key}
    assert own == {
        f"org.acme.image.{name}"
        for name in (
            "maintainer",
            "revision",
            "name",
            "version",
            "description",
            "documentation",
            "variant",
            "os",
            "tools.R",
        )
    }


def test_check_reports_placeholders_and_missing_names_without_making_them_errors():
    text = "repository: {url: replace-me.example/x}\nregistries: [{host: replace-me.example, namespace: x}]\nimages: []"
    found = check_expansion(parsing.project(text), strict=True).problems
    assert [(one.path, one.warning) for one in found] == [
        ("repository.url", True), ("registries[0].host", True), ("repository", True), ("repository", True),
    ]  # fmt: skip
    done = "repository: {url: x.org, vendor: Acme, maintainer: a@acme.example}\nimages: []"
    assert check_expansion(parsing.project(done)).problems == ()


def test_a_secret_without_its_variable_is_left_out_with_a_warning():
    project = parsing.image("buildSecrets: [{id: a, envVar: A}, {id: b, envVar: B}]\nversions: [{name: x}]")
    selected = select(project, Selection(), environ={"A": "1", "B": ""})
    assert [secret.id for secret in selected.targets[0].secrets] == ["a"]
    (warning,) = secret_findings(project, selected.targets, {"A": "1", "B": ""})
    assert "B is not set" in warning.message


def test_the_creation_time_is_source_date_epoch_or_none():
    assert created({"SOURCE_DATE_EPOCH": "0"}) == "1970-01-01T00:00:00Z"
    assert created({}) is None
    assert created({"SOURCE_DATE_EPOCH": "soon"}) is None


def test_rows_of_a_matrix_with_constraints_are_not_defined():
    text = "matrix: {values: {a: [b, c]}, dependencyConstraints: [{dependency: R, constraint: {latest: true}}]}"
    assert defined_targets(parsing.image(text)) == ()
    assert len(defined_targets(parsing.image("matrix: {values: {a: [b, c]}}"))) == 2


def test_filters_without_effect_are_warnings():
    project = parsing.image("versions: [{name: a}]")

    def warnings(**wanted):
        return " ".join(problem.message for problem in select(project, Selection(**wanted)).problems)

    assert "--dev-channel has no effect" in warnings(dev_channel="daily")
    assert "--latest excludes development versions" in warnings(latest=True, dev_versions="include")
    assert "--image-os does not apply" in warnings(image_os="U")
    assert "--image-platform does not apply" in warnings(image_platforms=("arm64",))
    assert "--image-variant does not apply" in warnings(image_variant="x")
    assert "has no matrix" in warnings(image_name="app", matrix_versions="only")
    assert "is left out: it is not latest" in warnings(image_version="a", latest=True)


_name = st.text(alphabet="abcdefghij0123456789.-", min_size=1, max_size=8).filter(lambda text: text.strip(".-"))


@settings(max_examples=examples(50))
@given(
    versions=st.lists(_name, min_size=1, max_size=4, unique=True),
    variants=st.lists(_name, max_size=3, unique=True),
    systems=st.lists(_name, max_size=3, unique=True),
)
def test_expansion_is_the_same_every_time(versions, variants, systems):
    def listed(names):
        return ", ".join(f"{{name: '{name}'}}" for name in names)

    text = f"variants: [{listed(variants)}]\nversions: ["
    text += ", ".join(f"{{name: '{name}', os: [{listed(systems)}]}}" for name in versions) + "]"
    try:
        first, second = targets(text), targets(text)
    except InvalidProject:
        return  # two names with the same uid
    assert first == second
    assert len(first) == len(versions) * max(1, len(variants)) * max(1, len(systems))
    assert list(first) == sorted(first, key=sort_key)
