"""Every violation of a rule of bakery.yaml is reported at its place. One row per rule of config.md."""
# ruff: noqa: E501 - one rule per row is easier to compare with config.md

import time

import pytest

from bakery.config.load import load_project
from bakery.config.yaml.problem import InvalidProject
from bakery.errors import ConfigurationError
from tests.config import parsing

OS = "os: [{name: Ubuntu 24.04}]"
PROJECT_ERRORS = {
    "no repository": ("images: []\nrepository_: {}\n# repository:", "repository", "missing"),
    "no url": ("repository: {}", "repository.url", "missing"),
    "another scheme": ("repository: {url: ftp://x.org}", "repository.url", "http"),
    "an invalid url": ("repository: {url: 'https://exa mple.org'}", "repository.url", "URL"),
    "a url without host": ("repository: {url: 'https://'}", "repository.url", "URL"),
    "vendor is a number": ("repository: {url: x.org, vendor: 1}", "repository.vendor", "string"),
    "a label namespace with a slash": ("repository: {url: x.org, labelNamespace: org/x}", "repository.labelNamespace", "lower-case"),
    "a label namespace that ends in a dot": ("repository: {url: x.org, labelNamespace: org.}", "repository.labelNamespace", "lower-case"),
    "author without address": ("repository: {url: x.org, authors: [Me]}", "repository.authors[0]", "address"),
    "author is a number": ("repository: {url: x.org, authors: [1]}", "repository.authors[0]", "Name <address>"),
    "an author of 501 characters": (f"repository: {{url: x.org, authors: ['{' ' * 501}']}}", "repository.authors[0]", "longer"),
    "maintainer without email": ("repository: {url: x.org, maintainer: {name: A}}", "repository.maintainer", "`email`"),
    "maintainer without name": ("repository: {url: x.org, maintainer: {email: a@b.c}}", "repository.maintainer", "`name`"),
    "registry without host": ("registries: [{namespace: a}]", "registries[0].host", "missing"),
    "registry with an unknown key": ("registries: [{host: a.org, port: 1}]", "registries[0].port", "expected host"),
    "a global registry with a repository": ("registries: [{host: a.org, repository: b}]", "registries[0].repository", "top"),
    "a registry that makes an invalid reference": ("registries: [{host: 'a b.org'}]", "registries[0]", "invalid reference"),
    "a namespace that makes an invalid reference": ("registries: [{host: a.org, namespace: X}]", "registries[0]", "invalid reference"),
    "images is a mapping": ("images: {a: b}", "images", "list"),
    "images is null": ("images:", "images", "list"),
    "registries is null": ("registries:", "registries", "list"),
    "an image is a string": ("images: [app]", "images[0]", "mapping"),
    "two images with the same name": ("images: [{name: a}, {name: a}]", "images[1].name", "duplicate"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "path", "words"), PROJECT_ERRORS.values(), ids=PROJECT_ERRORS)
def test_an_error_in_the_project_is_reported_at_its_place(text, path, words):
    found = parsing.errors(parsing.project, text)
    assert any(where == path and words in message for where, message in found), found


CHANNEL = "sourceType: channel, product: connect, channel: daily"
IMAGE_ERRORS = {
    "a name that is a number": ("description: x\nname: 1", "name", "string"),
    "a name that makes an invalid reference": ("name: App", "name", "valid reference"),
    "an empty name": ("name: ''", "name", "valid reference"),
    "description is a number": ("description: 1.5", "description", "string"),
    "documentation with another scheme": ("documentationUrl: git://x", "documentationUrl", "http"),
    "an empty subpath": ("subpath: ''", "subpath", "empty"),
    "variants is null": ("variants:", "variants", "list"),
    "tagPatterns is null": ("tagPatterns:", "tagPatterns", "list"),
    "two versions with the same name": ("versions: [{name: a}, {name: a}]", "versions[1].name", "duplicate"),
    "two variants with the same name": ("variants: [{name: a}, {name: a}]", "variants[1].name", "duplicate"),
    "two latest versions": ("versions: [{name: a, latest: yes}, {name: b, latest: on}]", "versions[1].latest", "latest"),
    "two primary variants": (
        "variants: [{name: a, primary: true}, {name: b, primary: true}]", "variants[1].primary", "primary"),
    "a variant extension with a space": ("variants: [{name: a, extension: 'b c'}]", "variants[0].extension", "letters"),
    "an empty extension": ("variants: [{name: a, extension: ''}]", "variants[0].extension", "letters"),
    "a tag name with a slash": ("variants: [{name: a, tagDisplayName: b/c}]", "variants[0].tagDisplayName", "letters"),
    "a version name that is a number": ("versions: [{name: 1.9}]", "versions[0].name", "string"),
    "a version name that bake refuses": ("versions: [{name: '1~2'}]", "versions[0].name", "buildx bake"),
    "a version name of 201 characters": (f"versions: [{{name: {'x' * 201}}}]", "versions[0].name", "longer than 200"),
    "an empty version name": ("versions: [{name: ''}]", "versions[0].name", "empty"),
    "latest is not a boolean": ("versions: [{name: a, latest: perhaps}]", "versions[0].latest", "true"),
    "os is null": ("versions: [{name: a, os: }]", "versions[0].os", "list"),
    "a platform without architecture": ("versions: [{name: a, os: [{name: U, platforms: [linux]}]}]",
                                        "versions[0].os[0].platforms[0]", "such as linux/arm64"),
    "no platform": ("versions: [{name: a, os: [{name: U, platforms: []}]}]", "versions[0].os[0].platforms", "at least one"),
    "two primary systems": ("versions: [{name: a, os: [{name: U, primary: true}, {name: V, primary: true}]}]",
                            "versions[0].os[1].primary", "primary"),
    "a download URL without scheme": ("versions: [{name: a, os: [{name: U, artifactDownloadURL: 'x.org'}]}]",
                                      "versions[0].os[0].artifactDownloadURL", "http"),
    "values that are numbers": ("versions: [{name: a, values: {x: 1}}]", "versions[0].values.x", "string"),
    "both kinds of registries": ("extraRegistries: [{host: a.org}]\noverrideRegistries: [{host: b.org}]",
                                 "overrideRegistries", "mutually exclusive"),
    "both kinds in a version": (
        "versions: [{name: a, extraRegistries: [{host: a.org}], overrideRegistries: [{host: b.org}]}]",
        "versions[0].overrideRegistries", "mutually exclusive"),
    "an unknown key in a registry": ("extraRegistries: [{host: a.org, repo: x}]", "extraRegistries[0].repo", "unknown key"),
    "an unknown dependency": ("versions: [{name: a, dependencies: [{dependency: r, version: '4'}]}]",
                              "versions[0].dependencies[0].dependency", "python, R, quarto or positron"),
    "a dependency without version": ("versions: [{name: a, dependencies: [{dependency: R}]}]",
                                     "versions[0].dependencies[0]", "missing"),
    "a dependency with both keys": (
        "versions: [{name: a, dependencies: [{dependency: R, version: '4', versions: ['4']}]}]",
        "versions[0].dependencies[0].versions", "mutually exclusive"),
    "a dependency version that is a number": ("versions: [{name: a, dependencies: [{dependency: R, version: 4.5}]}]",
                                              "versions[0].dependencies[0].version", "quotes"),
    "an empty list of versions": ("versions: [{name: a, dependencies: [{dependency: R, versions: []}]}]",
                                  "versions[0].dependencies[0].versions", "at least one"),
    "an unknown key in a dependency": (
        "versions: [{name: a, dependencies: [{dependency: R, version: '4', vers: x}]}]",
        "versions[0].dependencies[0].vers", "unknown key"),
    "a duplicate dependency": (
        "versions: [{name: a, dependencies: [{dependency: R, version: '4'}, {dependency: R, version: '5'}]}]",
        "versions[0].dependencies[1].dependency", "already"),
    "two versions of quarto": ("versions: [{name: a, dependencies: [{dependency: quarto, version: '1, 2'}]}]",
                               "versions[0].dependencies[0].version", "single version"),
    "prerelease of R": ("versions: [{name: a, dependencies: [{dependency: R, version: '4', prerelease: true}]}]",
                        "versions[0].dependencies[0].prerelease", "prerelease"),
    "an empty constraint": ("dependencyConstraints: [{dependency: R, constraint: {}}]",
                                       "dependencyConstraints[0].constraint", "`latest` or `max`"),
    "only count": ("dependencyConstraints: [{dependency: R, constraint: {count: 2}}]",
                    "dependencyConstraints[0].constraint", "`latest` or `max`"),
    "latest and max": ("dependencyConstraints: [{dependency: R, constraint: {latest: true, max: 4}}]",
                       "dependencyConstraints[0].constraint.max", "mutually exclusive"),
    "latest false": ("dependencyConstraints: [{dependency: R, constraint: {latest: false}}]",
                     "dependencyConstraints[0].constraint.latest", "nothing"),
    "count with latest and min": (
        "dependencyConstraints: [{dependency: R, constraint: {latest: true, min: '4', count: 2}}]",
        "dependencyConstraints[0].constraint.count", "min"),
    "count with max and min": (
        "dependencyConstraints: [{dependency: R, constraint: {max: '5', min: '4', count: 2}}]",
        "dependencyConstraints[0].constraint.count", "min"),
    "min above max": ("dependencyConstraints: [{dependency: R, constraint: {max: '4.3', min: '4.5'}}]",
                      "dependencyConstraints[0].constraint.min", "greater than"),
    "a bound that is not a version": ("dependencyConstraints: [{dependency: R, constraint: {max: newest}}]",
                                   "dependencyConstraints[0].constraint.max", "version"),
    "count is 0": ("dependencyConstraints: [{dependency: R, constraint: {latest: true, count: 0}}]",
                         "dependencyConstraints[0].constraint.count", "greater than 0"),
    "several minor versions of quarto": ("dependencyConstraints: [{dependency: quarto, constraint: {latest: true, count: 2}}]",
                                "dependencyConstraints[0].constraint.count", "single version"),
    "every minor version of quarto": ("dependencyConstraints: [{dependency: quarto, constraint: {max: '1.8'}}]",
                             "dependencyConstraints[0].constraint", "single version"),
    "a duplicate constraint": (
        "dependencyConstraints: [{dependency: R, constraint: {latest: true}}, {dependency: R, constraint: {max: '4'}}]",
        "dependencyConstraints[1].dependency", "already"),
    "versions and a matrix": ("versions: [{name: a}]\nmatrix: {values: {a: [b]}}", "versions", "mutually exclusive"),
    "an empty matrix": ("matrix: {os: []}", "matrix", "must have"),
    "a dependency in both lists": (
        "matrix: {dependencies: [{dependency: R, version: '4'}], "
        "dependencyConstraints: [{dependency: R, constraint: {latest: true}}]}",
        "matrix.dependencyConstraints[0].dependency", "also in"),
    "an axis of numbers": ("matrix: {values: {a: [1, 2]}}", "matrix.values.a[0]", "string"),
    "an empty axis": ("matrix: {values: {a: []}}", "matrix.values.a", "empty axis"),
    "a matrix with an empty subpath": ("matrix: {values: {a: b}, subpath: ''}", "matrix.subpath", "empty"),
    "a name pattern with an unknown name": ("matrix: {values: {a: b}, namePattern: '{{ Value.a }}'}",
                                            "matrix.namePattern", "Value"),
    "a name pattern with an unknown value": ("matrix: {values: {a: b}, namePattern: '{{ Values.b }}'}",
                                             "matrix.namePattern", "Values.b"),
    "a name pattern with a syntax error": ("matrix: {values: {a: b}, namePattern: '{{ Values.a'}",
                                           "matrix.namePattern", "invalid pattern"),
    "no source type": (f"devVersions: [{{product: connect, {OS}}}]", "devVersions[0]", "sourceType"),
    "an old source type": (f"devVersions: [{{sourceType: env, {OS}}}]", "devVersions[0]", "channel or dependency"),
    "an unknown product": (f"devVersions: [{{sourceType: channel, product: x, channel: daily, {OS}}}]",
                           "devVersions[0].product", "connect"),
    "no channel": (f"devVersions: [{{sourceType: channel, product: connect, {OS}}}]", "devVersions[0].channel", "missing"),
    "channel and stream": (f"devVersions: [{{{CHANNEL}, stream: daily, {OS}}}]", "devVersions[0].stream", "mutually exclusive"),
    "an unknown channel": (f"devVersions: [{{sourceType: channel, product: connect, channel: x, {OS}}}]",
                           "devVersions[0].channel", "release, preview or daily"),
    "the release channel of a dependency": (
        f"devVersions: [{{sourceType: dependency, dependency: R, channel: release, {OS}}}]",
        "devVersions[0].channel", "preview or daily"),
    "a pattern in upper case": ("tagPatterns: [{patterns: [Stable]}]", "tagPatterns[0].patterns[0]", "lower-case"),
    "a pattern with a colon": ("tagPatterns: [{patterns: ['a:b']}]", "tagPatterns[0].patterns[0]", "lower-case"),
    "an empty pattern": ("tagPatterns: [{patterns: ['']}]", "tagPatterns[0].patterns[0]", "lower-case"),
    "a pattern with a statement": ("tagPatterns: [{patterns: ['{% if a %}b{% endif %}']}]",
                                   "tagPatterns[0].patterns[0]", "lower-case"),
    "no patterns": ("tagPatterns: [{only: [all]}]", "tagPatterns[0].patterns", "missing"),
    "an unknown condition of patterns": ("tagPatterns: [{patterns: [a], only: [newest]}]", "tagPatterns[0].only[0]", "latest"),
    "a pattern with an unknown name": ("tagPatterns: [{patterns: ['{{ Os }}']}]", "tagPatterns[0].patterns[0]", "Os"),
    "a variant's pattern with an unknown name": ("variants: [{name: a, tagPatterns: [{patterns: ['{{ X }}']}]}]",
                                                 "variants[0].tagPatterns[0].patterns[0]", "X"),
    "a pattern with an unknown Jinja2 filter": ("tagPatterns: [{patterns: ['{{ OS | shout }}']}]",
                                                "tagPatterns[0].patterns[0]", "shout"),
    "options of an unknown tool": ("options: [{tool: gos}]", "options[0].tool", "goss, soci, hadolint or wizcli"),
    "options without tool": ("options: [{wait: 1}]", "options[0].tool", "missing"),
    "two entries for one tool": ("options: [{tool: goss}, {tool: goss}]", "options[1].tool", "already"),
    "two entries for one tool in a variant": ("variants: [{name: a, options: [{tool: soci}, {tool: soci}]}]",
                                               "variants[0].options[1].tool", "already"),
    "an option of the wrong type": ("options: [{tool: goss, wait: long}]", "options[0].wait", "integer"),
    "an option in two spellings": ("options: [{tool: soci, span_size: 1, spanSize: 2}]", "options[0]", "same field"),
    "a secret with a bad id": ("buildSecrets: [{id: '.x', envVar: X}]", "buildSecrets[0].id", "letters"),
    "a secret with a bad variable": ("buildSecrets: [{id: x, envVar: 1X}]", "buildSecrets[0].envVar", "digit"),
    "a secret without variable": ("buildSecrets: [{id: x}]", "buildSecrets[0].envVar", "missing"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "path", "words"), IMAGE_ERRORS.values(), ids=IMAGE_ERRORS)
def test_an_error_in_an_image_is_reported_at_its_place(text, path, words):
    found = parsing.errors(parsing.image, text)
    assert any(where == f"images[0].{path}" and words in message for where, message in found), found


IMAGE_WARNINGS = {
    "an unknown key": ("versions: [{name: a, latestt: true, os: [{name: U}]}]", "versions[0].latestt", "`latest`"),
    "an unknown key of an image": ("varients: []", "varients", "`variants`"),
    "an unknown key of a tool": ("options: [{tool: goss, comand: x}]", "options[0].comand", "`command`"),
    "an unknown key of a matrix": ("matrix: {value: {}, values: {a: b}}", "matrix.value", "`values`"),
    "an unknown key in a constraint": ("dependencyConstraints: [{dependency: R, constraint: {latest: true, cout: 1}}]",
                                       "dependencyConstraints[0].constraint.cout", "`count`"),
    "no versions": ("description: x", "", "no targets"),
    "no primary system": ("versions: [{name: a, os: [{name: U}, {name: V}]}]", "versions[0].os", "primary"),
    "a duplicate system": ("versions: [{name: a, os: [{name: U, primary: true}, {name: U}]}]", "versions[0].os[1]", "duplicate"),
    "a system that starts with a digit": ("versions: [{name: a, os: [{name: 24 Ubuntu}]}]",
                                          "versions[0].os[0].name", "digit"),
    "a duplicate registry": ("extraRegistries: [{host: a.org}, {host: a.org}]", "extraRegistries[1]", "duplicate"),
    "constraints and a matrix": (
        "matrix: {values: {a: b}}\ndependencyConstraints: [{dependency: R, constraint: {latest: true}}]",
        "dependencyConstraints", "matrix"),
    "the old name of a channel": (f"devVersions: [{{sourceType: channel, product: connect, stream: daily, {OS}}}]",
                                  "devVersions[0].stream", "`channel`"),
    "the old source type": (f"devVersions: [{{sourceType: stream, product: connect, channel: daily, {OS}}}]",
                            "devVersions[0].sourceType", "channel"),
    "a development version without systems": (f"devVersions: [{{{CHANNEL}}}]", "devVersions[0]", "skipped"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "path", "words"), IMAGE_WARNINGS.values(), ids=IMAGE_WARNINGS)
def test_a_possible_mistake_is_a_warning_at_its_place(text, path, words):
    found = parsing.warnings(parsing.image, text)
    place = f"images[0].{path}".rstrip(".")
    assert any(where == place and words in message for where, message in found), found
    assert parsing.image(text).images


def test_a_project_without_images_is_a_warning():
    assert any("no images" in message for _, message in parsing.warnings(parsing.project, "registries: []"))


def test_a_duplicate_registry_or_author_is_a_warning():
    text = "repository: {url: x.org, authors: [a@b.org, 'a <a@b.org>']}\nregistries: [{host: a.org}, {host: a.org}]"
    paths = {path for path, _ in parsing.warnings(parsing.project, text)}
    assert {"repository.authors[1]", "registries[1]"} <= paths


def test_versions_without_systems_are_one_warning_for_the_whole_project():
    found = parsing.warnings(parsing.image, "versions: [{name: a}, {name: b}, {name: c}]")
    assert len([message for _, message in found if "3 versions have no `os`" in message]) == 1
    assert len(found) == 1


def test_an_unknown_key_is_an_error_with_strict():
    assert parsing.errors(parsing.image, "versions: [{name: a, latestt: true}]") == []
    (only,) = parsing.errors(parsing.image, "versions: [{name: a, latestt: true}]", strict=True)
    assert only[0] == "images[0].versions[0].latestt"


def test_all_errors_in_a_file_are_reported_at_once_in_file_order():
    text = """\
    repository: {url: "ftp://x"}
    registries: [{host: a.org, port: 3}]
    images:
      - name: App
        versions:
          - name: 1.5
            os: [{name: U, platforms: [x]}]
          - {name: b, latest: true}
          - {name: c, latest: true}
      - name: ok
        matrix: {}
    """
    found = parsing.problems(parsing.project, text)
    failed = [problem for problem in found if not problem.warning]
    assert [problem.line for problem in failed] == [1, 2, 4, 6, 7, 9, 11]
    assert all(problem.source for problem in failed)


def test_a_problem_shows_its_place_the_hint_and_the_line_of_the_file():
    (problem,) = parsing.problems(parsing.image, "versions:\n- name: 1.9\n  os: [{name: U}]")
    assert str(problem) == (
        "bakery.yaml:6:13: error: images[0].versions[0].name: expected a string, got the number 1.9\n"
        '  hint: write it in quotes: "1.9"\n'
        "  6 |     - name: 1.9\n"
        "    |             ^"
    )


def test_a_value_of_any_wrong_type_does_not_crash():
    for value in ("1", "1.5", "true", "null", "text", "[]", "[1]", "{}", "{a: 1}", "[[]]", "[{}]"):
        for key in ("repository", "registries", "images"):
            parsing.problems(parsing.project, f"{key}: {value}")
        for key in (
            "name", "displayName", "description", "documentationUrl", "subpath", "versions", "variants",
            "dependencyConstraints", "devVersions", "matrix", "extraRegistries", "buildSecrets", "options", "tagPatterns",
        ):  # fmt: skip
            parsing.problems(parsing.image, f"{key}: {value}")
        for key in ("os", "dependencies", "values", "extraRegistries", "latest", "subpath", "buildTarget"):
            parsing.problems(parsing.image, f"versions: [{{name: a, {key}: {value}}}]")
            parsing.problems(parsing.image, f"matrix: {{values: {{a: b}}, {key}: {value}}}")


@pytest.mark.parametrize("text", ["- a\n", "text\n", "3\n"])
def test_a_file_that_is_not_a_mapping_is_an_error(text, tmp_path):
    (tmp_path / "bakery.yaml").write_text(text)
    with pytest.raises(InvalidProject, match="mapping"):
        load_project(tmp_path)


def test_an_empty_file_lacks_its_repository(tmp_path):
    (tmp_path / "bakery.yaml").write_text("")
    with pytest.raises(InvalidProject, match="`repository` is missing"):
        load_project(tmp_path)


def test_bakery_yaml_takes_precedence_over_bakery_yml_and_parents_are_not_searched(tmp_path):
    (tmp_path / "bakery.yml").write_text("repository: {url: short.org}\n")
    assert load_project(tmp_path).repository.url == "https://short.org/"
    (tmp_path / "bakery.yaml").write_text("repository: {url: long.org}\n")
    assert load_project(tmp_path).repository.url == "https://long.org/"
    (tmp_path / "inside").mkdir()
    with pytest.raises(ConfigurationError, match=r"cannot find bakery\.yaml or bakery\.yml"):
        load_project(tmp_path / "inside")


def test_a_file_that_is_not_utf_8_is_an_error(tmp_path):
    (tmp_path / "bakery.yaml").write_bytes(b"repository: \xff\xfe\n")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        load_project(tmp_path)


def test_a_hostile_pattern_is_checked_in_linear_time():
    began = time.process_time()
    pattern = "{{ a }}" * 5000 + "A"
    found = parsing.errors(parsing.image, f"tagPatterns: [{{patterns: ['{pattern}']}}]")
    assert found[0][0] == "images[0].tagPatterns[0].patterns[0]"
    assert time.process_time() - began < 2


def test_every_wrong_item_of_a_list_is_reported_at_its_place():
    text = """\
    matrix:
      values: {a: [1, x, true], b: 5}
      dependencies: [{dependency: R, versions: ["4.5", 4.4]}]
    """
    paths = {path for path, _ in parsing.errors(parsing.image, text)}
    matrix = "images[0].matrix"
    assert paths == {
        f"{matrix}.values.a[0]", f"{matrix}.values.a[2]", f"{matrix}.values.b", f"{matrix}.dependencies[0].versions[1]",
    }  # fmt: skip


def test_a_duplicate_system_does_not_count_as_a_second_primary():
    text = "versions: [{name: a, os: [{name: U 1, primary: true}, {name: U 1, extension: u1, primary: true}]}]"
    assert parsing.errors(parsing.image, text) == []
    assert [path for path, _ in parsing.warnings(parsing.image, text)] == ["images[0].versions[0].os[1]"]
    (only,) = parsing.image(text).images[0].versions[0].systems
    assert only.primary


def test_a_long_line_is_shown_around_the_column():
    text = f"description: '{'d' * 5000}'\nversions: [{{name: {'1.' * 5000}x, {OS}, subpath: 5, values: {{a: {'b' * 400}}}}}]"
    for problem in parsing.problems(parsing.image, text):
        *_, source, caret = str(problem).splitlines()
        assert len(str(problem)) < 2000
        shown = source[caret.index("^") :]
        assert shown.startswith(("1.1.1.", "5, values")), shown


def test_a_tab_before_the_column_does_not_move_the_caret():
    (problem,) = parsing.problems(parsing.image, f"versions: [{{name: a, values: {{k: 'a\tb'}},\t{OS}, subpath: 5}}]")
    *_, source, caret = str(problem).splitlines()
    assert source[caret.index("^")] == "5"


def test_a_key_that_is_not_a_string_is_spelled_as_in_the_file():
    paths = {path for path, _ in parsing.warnings(parsing.image, f"true: 1\n~: 2\nversions: [{{name: a, {OS}}}]")}
    assert paths == {"images[0].true", "images[0].null"}


def test_a_deeply_nested_pattern_is_an_error_not_a_crash():
    text = f"tagPatterns: [{{patterns: ['{{{{ {'(' * 5000}1{')' * 5000} }}}}']}}]"
    assert any("nested too deeply" in message for _, message in parsing.errors(parsing.image, text))


def test_a_name_guarded_by_a_condition_may_be_undefined():
    text = (
        """matrix: {values: {a: x}, namePattern: "a{{ Values.b | default('z') }}{{ Values.c if Values.c else '' }}"}"""
    )
    assert parsing.errors(parsing.image, text) == []
    assert parsing.errors(parsing.image, "matrix: {values: {a: x}, namePattern: 'a{{ Values.b }}'}")


def test_a_key_that_is_not_a_string_and_an_invalid_name_pattern_are_both_reported():
    found = parsing.errors(parsing.image, "matrix: {values: {1: a, b: c}, namePattern: '{{ Values.bb }}'}")
    assert any(path.startswith("images[0].matrix.values") for path, _ in found)
    assert any("Values.bb" in message for _, message in found)
