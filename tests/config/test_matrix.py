"""Rows of a matrix: their order, their names, and which of them are latest."""

import pytest

from bakery.config.matrix import build_args, rows
from tests.config import parsing


def made(text, **resolved):
    matrix = parsing.image(f"matrix: {text}").images[0].matrix
    assert matrix is not None
    return rows(matrix, resolved)


def names(found, keep=lambda version: True):
    return [version.name for version in found.versions if keep(version)]


def test_rows_are_the_product_of_the_axes_with_the_last_axis_varying_fastest():
    found = made("{dependencies: [{dependency: R, versions: ['4.5.2', '4.4.3']}], values: {b: [x, 'y'], a: c}}")
    assert names(found) == ["R4.5.2-ac-bx", "R4.5.2-ac-by", "R4.4.3-ac-bx", "R4.4.3-ac-by"]
    assert found.versions[0].values == {"b": "x", "a": "c"}


def test_constraints_follow_dependencies_and_their_versions_are_newest_first():
    found = made(
        "{dependencyConstraints: [{dependency: R, constraint: {latest: true}}],"
        " dependencies: [{dependency: python, version: '3.13'}]}",
        R=("4.5.2", "4.4.3"),
    )
    assert names(found) == ["python3.13-R4.5.2", "python3.13-R4.4.3"]


def test_the_latest_row_has_the_highest_item_of_every_axis_compared_as_versions():
    found = made("{values: {go: ['1.9', '1.10'], flavour: ['2.0', '1.0'], mode: strict}}")
    assert names(found, lambda version: version.latest) == ["flavour2.0-go1.10-modestrict"]
    assert found.findings == ()


def test_an_item_that_is_not_a_version_is_reported_and_no_row_is_latest():
    found = made("{values: {theme: [dark, light]}}")
    assert names(found, lambda version: version.latest) == []
    assert ["theme" in one.message and "dark" in one.message and one.warning for one in found.findings] == [True]


def test_plain_values_are_not_axes():
    assert names(made("{values: {a: b}}"), lambda version: version.latest) == []
    assert made("{values: {a: b}}").findings == ()


def test_a_latest_patch_row_is_the_highest_of_its_minor_versions():
    found = made(
        "{namePattern: 'R{{ Dependencies.R }}-python{{ Dependencies.python }}', dependencies: "
        "[{dependency: R, versions: '4.5.2, 4.5.1, 4.4.3'}, {dependency: python, versions: '3.13.9, 3.12.12'}]}"
    )
    assert names(found, lambda version: not version.latest_patch) == ["R4.5.1-python3.13.9", "R4.5.1-python3.12.12"]
    assert names(found, lambda version: version.latest) == ["R4.5.2-python3.13.9"]


def test_with_a_dependency_that_is_not_a_version_no_row_is_a_latest_patch():
    found = made("{dependencies: [{dependency: R, versions: [devel, '4.5.2']}]}")
    assert names(found, lambda version: version.latest_patch or version.latest) == []
    assert len(found.findings) == 2


def test_values_are_compared_by_the_numbers_in_them():
    found = made("{values: {go: ['1.24.9', '1.24.10']}}")
    assert names(found, lambda version: version.latest_patch) == ["go1.24.10"]


def test_a_key_with_a_hyphen_is_allowed_in_the_default_name():
    assert names(made("{values: {my-key: [a]}}")) == ["my-keya"]


def test_a_name_is_trimmed():
    assert names(made("{namePattern: ' -{{ Values.a }}._ ', values: {a: x}}")) == ["x"]


def test_an_empty_row_name_is_an_error():
    (fault,) = made("{namePattern: '{{ \"-\" }}', values: {a: x}}").findings
    assert "an empty name" in fault.message
    assert not fault.warning


def test_build_arguments_are_dependencies_then_values_in_upper_case():
    row = made("{dependencies: [{dependency: R, version: '4'}], values: {Feed: x}}").versions[0]
    assert build_args(row) == {"R_VERSION": "4", "FEED": "x"}


def test_a_matrix_with_too_many_rows_is_refused():
    axes = ", ".join(f"a{n}: [{', '.join(map(str, [f'v{i}' for i in range(30)]))}]" for n in range(4))
    (fault,) = made(f"{{values: {{{axes}}}}}").findings
    assert "810,000 rows" in fault.message


@pytest.mark.parametrize("name", ["subpath", "buildTarget"])
def test_a_row_has_the_fields_of_the_matrix(name):
    row = made(f"{{values: {{a: b}}, {name}: here}}").versions[0]
    assert "here" in (row.subpath, row.build_target)
