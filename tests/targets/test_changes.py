"""Which versions a changed path, or a change of bakery.yaml, affects; and `ci matrix` limited to what changed."""

import json
from textwrap import dedent

import pytest

from bakery.app.git import run_git
from bakery.config.git import GitFailed, changed_files
from bakery.config.load import load_project
from bakery.targets.changes import affected_versions
from tests.cli.running import bakery
from tests.config import parsing
from tests.config.repositories import git

PROJECT = """\
repository: {url: example.org}
images:
  - name: app
    devVersions: [{sourceType: channel, product: connect, channel: daily, os: [{name: U}]}]
    versions:
      - {name: 2.0.0, latest: true}
      - {name: 1.0.0, subpath: old/one}
  - name: lab
    matrix:
      dependencies: [{dependency: R, versions: ['4.5.2', '4.4.3']}]
      values: {x: y}
"""


def built(found, project):
    """Return the names of the affected versions, with `dev` for development versions; None for everything."""
    from msgspec.structs import replace

    from bakery.config.matrix import rows

    if found.everything:
        return None
    names = set()
    for image in project.images:
        versions = [*image.versions, *(rows(image.matrix, {}).versions if image.matrix else ())]
        names |= {f"{image.name} {version.name}" for version in versions if found.includes(image, version)}
        if image.dev_sources and found.includes(image, replace(image.versions[0], development=True)):
            names.add(f"{image.name} dev")
    return names


RELEASES = {"app 2.0.0", "app 1.0.0"}
PATHS = {
    "a Markdown file": ("app/2.0.0/README.MD", set()),
    "a workflow": (".github/workflows/x.yml", None),
    "another file in .github": (".github/CODEOWNERS", set()),
    ".gitignore": (".gitignore", set()),
    ".pre-commit-config.yaml": (".pre-commit-config.yaml", set()),
    "an editor's settings": (".idea/x/y", set()),
    "a .gitignore in a subdirectory": ("tools/.gitignore", None),
    "a file of a version": ("app/2.0.0/deps/x.txt", {"app 2.0.0"}),
    "a template": ("app/template/Containerfile.jinja2", {"app dev"}),
    "a test of the image": ("app/test/goss.yaml", RELEASES),
    "a file of a version in a nested directory": ("app/old/one/x", RELEASES),
    "a file of a matrix image": ("lab/matrix/Containerfile", {"lab R4.5.2-xy"}),
    "a template of a matrix image": ("lab/template/x", {"lab R4.5.2-xy"}),
    "a file outside the images": ("Makefile", None),
    "a directory whose name starts like an image": ("apple/x", None),
    "bakery.yaml without its old text": ("bakery.yaml", None),
}


@pytest.mark.parametrize(("path", "wanted"), PATHS.values(), ids=PATHS)
def test_a_changed_path_affects(path, wanted):
    project = parsing.project(PROJECT)
    assert built(affected_versions(project, [path]), project) == wanted


EDITS = {
    "nothing": (("", ""), set()),
    "a comment": (("images:", "# x\nimages:"), set()),
    "the repository": (("example.org", "example.com"), None),
    "invalid YAML before": ((PROJECT, "a: [\n"), None),
    "an unexpected structure before": ((PROJECT, "images: 3\n"), None),
    "a new version": (("      - {name: 2.0.0, latest: true}\n", ""), {"app 2.0.0"}),
    "a removed version": (("      - {name: 1", "      - {name: 0.1.0}\n      - {name: 1"), set()),
    "a changed version": (("subpath: old/one", "subpath: older"), {"app 1.0.0"}),
    "a version that only lost latest": (("{name: 1.0.0,", "{name: 1.0.0, latest: true,"), set()),
    "a version that became latest": (("2.0.0, latest: true", "2.0.0"), {"app 2.0.0"}),
    "another field of the image": (("name: app\n", "name: app\n    description: x\n"), RELEASES),
    "a new image": (("name: lab", "name: lab2"), set()),
    "a removed pin": (("'4.4.3'", "'4.4.3', '4.3.3'"), set()),
    "an added pin": ((", '4.4.3'", ""), {"lab R4.5.2-xy"}),
    "a changed value of a matrix": (("{x: y}", "{x: z}"), {"lab R4.5.2-xy"}),
}


@pytest.mark.parametrize(("edit", "wanted"), EDITS.values(), ids=EDITS)
def test_a_changed_project_file_affects(edit, wanted):
    """Each edit turns the new text into the old one."""
    project = parsing.project(PROJECT)
    old = PROJECT.replace(*edit) if edit[0] else PROJECT
    assert built(affected_versions(project, ["bakery.yaml"], old), project) == wanted


@pytest.fixture
def repository(tmp_path):
    """A project in a subdirectory of a git repository, with changes on the branch `work`."""
    context = tmp_path / "images"
    (context / "app" / "2.0.0").mkdir(parents=True)
    (context / "bakery.yaml").write_text(PROJECT)
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    git(tmp_path, "checkout", "-b", "work")
    (context / "app" / "2.0.0" / "ä b.txt").write_text("x")
    (tmp_path / "outside").write_text("x")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "y")
    return context


@pytest.mark.parametrize("ref", ["0" * 40, "no-such-branch", "--output=x"])
def test_an_unknown_commit_is_a_warning_and_every_job_is_listed(repository, ref):
    with pytest.raises(GitFailed):
        changed_files(repository, ref, run_git)
    ran = bakery("ci", "matrix", "--context", repository, f"--base-ref={ref}", "--exclude", "platform")
    assert ran.code == 0
    assert len(json.loads(ran.out)) == 2
    assert "listing every job" in ran.err


def test_the_matrix_lists_what_changed_since_a_commit(repository):
    ran = bakery("ci", "matrix", "--context", repository, environ={"BAKERY_BASE_REF": "main"})
    assert [(job["image"], job["version"]) for job in json.loads(ran.out)] == [("app", "2.0.0")]


def test_the_matrix_lists_what_a_file_of_changed_paths_affects(repository, tmp_path):
    (tmp_path / "paths").write_text("app/2.0.0/x\n\n")
    ran = bakery("ci", "matrix", "--context", repository, "--changed-files-from", tmp_path / "paths")
    assert [job["version"] for job in json.loads(ran.out)] == ["2.0.0"]
    missing = bakery("ci", "matrix", "--context", repository, "--changed-files-from", tmp_path / "none")
    assert missing.code == 3


def test_excluded_fields_are_left_out_and_equal_jobs_have_a_channel(tmp_path):
    (tmp_path / "bakery.yaml").write_text(
        dedent("""\
        repository: {url: example.org}
        images:
          - name: app
            devVersions:
              - {sourceType: dependency, dependency: positron, channel: daily, os: [{name: U}]}
              - {sourceType: dependency, dependency: positron, channel: preview, os: [{name: U}]}
        """)
    )
    (tmp_path / "index.json").write_text(json.dumps({"get": {
        "https://cdn.posit.co/positron/releases/pwb/x86_64/all-releases.json": "p.json"}}))  # fmt: skip
    (tmp_path / "p.json").write_text('{"releases": [{"version": "2026.1.0-3"}]}')
    ran = bakery("ci", "matrix", "--context", tmp_path, "--dev-versions", "only", "--exclude", "platform",
                 "--exclude", "dev", environ={"BAKERY_HTTP_REPLAY": str(tmp_path)})  # fmt: skip
    assert json.loads(ran.out) == [
        {"image": "app", "version": "2026.1.0-3", "channel": "daily"},
        {"image": "app", "version": "2026.1.0-3", "channel": "preview"},
    ]
    assert load_project(tmp_path).images
