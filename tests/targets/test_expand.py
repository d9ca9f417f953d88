"""Targets beyond the examples: order, uids, tags that two of them claim, names of caches, labels."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakery.config.yaml.problem import InvalidProject
from bakery.targets.expand import check_expansion, contested, secret_findings, sort_key, written_targets
from bakery.targets.labels import created
from bakery.targets.select import Selection, select
from tests.config import parsing
from tests.hypothesis_profiles import examples


def targets(text, **wanted):
    return select(parsing.image(text), Selection(**wanted)).targets


def test_two_targets_with_one_uid_are_refused_by_name():
    with pytest.raises(InvalidProject, match="'app-1-0-0'"):
        targets("versions: [{name: 1.0.0}, {name: 1.0-0}]")


def test_rows_with_one_name_are_refused():
    with pytest.raises(InvalidProject, match="'app-x'"):
        targets("matrix: {namePattern: x, values: {a: [b, c]}}", matrix_versions="include")


CLAIMED = {
    "a build beside another": "versions: [{name: 1.0.0-1}, {name: 1.0.0-2}]",
    "a variant that is called like a system": (
        "variants: [{name: a, primary: true, tagDisplayName: ubuntu-24.04}, {name: b}]\n"
        "versions: [{name: 1.0.0, latest: true, os: [{name: Ubuntu 24.04, primary: true}, {name: X, "
        "tagDisplayName: ubuntu-24.04}]}]"),
}  # fmt: skip


@pytest.mark.parametrize("text", CLAIMED.values(), ids=CLAIMED)
def test_two_targets_that_claim_one_tag_are_named_and_refused_when_strict(text):
    project = parsing.image(text)
    selected = select(project, Selection())
    (claim, *_) = contested(selected.targets)
    told = [str(problem) for problem in selected.problems if "claim one tag" in problem.message]
    assert any(all(uid in line for uid in claim.uids) for line in told)
    with pytest.raises(InvalidProject, match="claim one tag"):
        select(project, Selection(), strict=True)
    with pytest.raises(InvalidProject):
        check_expansion(project, strict=True)
    assert check_expansion(project).problems


def test_a_claim_is_told_even_when_a_filter_hides_one_of_the_two():
    project = parsing.image("versions: [{name: 1.0.0-1}, {name: 1.0.0-2}]")
    selected = select(project, Selection(image_version="1.0.0-1"))
    assert any("1-0-0-2" in problem.message for problem in selected.problems)


def test_targets_without_registry_have_tags_without_host():
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
def test_cache_names(platforms, built, name):
    (target,) = targets(f"versions: [{{name: 1.0.0-rc1+7, os: [{{name: Ubuntu 24.04, platforms: [{platforms}]}}]}}]")
    assert target.cache_name("ghcr.io/x", built) == name
    assert target.temp_name("localhost:5000/x") == "localhost:5000/x/app/tmp"


def test_labels_of_dependencies_are_absent_for_the_variant_named_minimal():
    found = targets(
        "variants: [{name: Minimal}, {name: minimal-too}]\n"
        "versions: [{name: a, dependencies: [{dependency: R, version: '4, 3'}]}]"
    )
    assert [target.labels.get("co.posit.image.tools.R") for target in found] == [None, "4, 3"]


def test_secrets_count_where_their_variable_is_set_and_are_told_where_it_is_not():
    project = parsing.image("buildSecrets: [{id: a, envVar: A}, {id: b, envVar: B}]\nversions: [{name: x}]")
    selected = select(project, Selection(), environ={"A": "1", "B": ""})
    assert [secret.id for secret in selected.targets[0].secrets] == ["a"]
    (told,) = secret_findings(project, selected.targets, {"A": "1", "B": ""})
    assert "B is not set" in told.message


def test_the_creation_time_is_that_of_source_date_epoch_or_none():
    assert created({"SOURCE_DATE_EPOCH": "0"}) == "1970-01-01T00:00:00Z"
    assert created({}) is None
    assert created({"SOURCE_DATE_EPOCH": "soon"}) is None


def test_a_version_is_written_whether_or_not_its_matrix_asks_product_apis():
    text = "matrix: {values: {a: [b, c]}, dependencyConstraints: [{dependency: R, constraint: {latest: true}}]}"
    assert written_targets(parsing.image(text)) == ()
    assert len(written_targets(parsing.image("matrix: {values: {a: [b, c]}}"))) == 2


def test_filters_without_effect_are_told():
    project = parsing.image("versions: [{name: a}]")

    def told(**wanted):
        return " ".join(problem.message for problem in select(project, Selection(**wanted)).problems)

    assert "--dev-channel has no effect" in told(dev_channel="daily")
    assert "--latest drops every development version" in told(latest=True, dev_versions="include")
    assert "--image-os does not apply" in told(image_os="U")
    assert "--image-platform does not apply" in told(image_platforms=("arm64",))
    assert "--image-variant does not apply" in told(image_variant="x")
    assert "has no matrix" in told(image_name="app", matrix_versions="only")
    assert "is left out: it is not latest" in told(image_version="a", latest=True)


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
        return  # two names that make one uid
    assert first == second
    assert len(first) == len(versions) * max(1, len(variants)) * max(1, len(systems))
    assert list(first) == sorted(first, key=sort_key)
