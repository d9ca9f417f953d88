"""Every reading command prints exactly what is expected for every example project, and reports mistakes."""

import json
from pathlib import Path

import pytest

from bakery.errors import ExitCode
from tests import projects
from tests.cli.running import bakery

HELLO = Path(__file__).resolve().parents[2] / "examples" / "hello"
COMMANDS = (
    "select",
    "get tags --output uid",
    "get tags --output component",
    "get version",
    "build --plan",
    "ci matrix",
    "ci matrix, changed files",
)
CASES = [
    pytest.param(command, name, entry, id=f"{command}-{name}-{case}")
    for command in COMMANDS
    for name, case, entry in projects.cases(command)
]


def without_commit(value):
    """The value without labels that change from commit to commit."""
    if isinstance(value, dict):
        return {k: without_commit(v) for k, v in value.items() if not k.endswith((".revision", ".created"))}
    return [without_commit(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("command", "name", "entry"), CASES)
def test_every_command_prints_what_is_expected(command, name, entry):
    wanted = projects.expected(name)
    words = "get targets --output json" if command == "select" else command.removesuffix(", changed files")
    environ = {**wanted.get("environment", {}), "BAKERY_HTTP_REPLAY": str(projects.HTTP)}
    if entry.get("uids") == []:  # a version that the project does not have is an error unless it is allowed
        words += " --allow-empty"
    ran = bakery(
        *words.split(), "--context", projects.HERE / name, *entry["args"],
        stdin="\n".join(entry.get("files", [])), environ=environ,
    )  # fmt: skip
    assert ran.code == entry.get("exit", 0), ran.err
    if "exit" in entry:
        assert ran.out == ""
    elif command == "get version":
        assert ran.out == f"{entry['result']}\n"
    elif command == "select":
        found = without_commit(json.loads(ran.out))
        assert [target["uid"] for target in found] == entry["uids"]
        assert found == [wanted["targets"][uid] for uid in entry["uids"]]
    else:
        assert without_commit(json.loads(ran.out)) == entry["result"]


def test_the_matrix_is_one_line_of_json():
    ran = bakery("ci", "matrix", "--context", projects.HERE / "atlas-app")
    assert ran.out.count("\n") == 1
    assert ran.out.endswith("]\n")


@pytest.mark.parametrize("option", ["--image-name", "--image-variant", "--image-os", "--image-platform"])
def test_a_bad_expression_names_its_option_and_exits_2(option):
    ran = bakery("get", "targets", "--context", projects.HERE / "atlas-app", option, "(")
    assert ran.code == 2
    assert option in ran.err
    assert ran.out == ""


def test_a_directory_without_a_project_is_named_and_exits_3(tmp_path):
    ran = bakery("get", "tags", "--context", tmp_path)
    assert ran.code == 3
    assert str(tmp_path) in ran.err
    assert "--context" in ran.err


def test_an_empty_build_plan_exits_1_and_names_the_filters():
    ran = bakery("build", "--plan", "--context", projects.HERE / "atlas-app", "--image-name", "nothing-like-it")
    assert ran.code == 1
    assert "--image-name nothing-like-it" in ran.err


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--strategy", "build"), 1), (("--summary", "--summary-format", "json"), 2), (("--summary-format", "json"), 2)],
    ids=["strategy", "summary", "form of the summary"],
)
def test_a_build_plan_is_refused_with_options_that_contradict_it(words, code):
    ran = bakery("build", "--plan", "--context", projects.HERE / "atlas-app", *words)
    assert (ran.code, ran.out) == (code, "")


def test_a_build_plan_with_a_summary_counts_what_it_makes_on_stderr():
    ran = bakery("build", "--plan", "--summary", "--context", projects.HERE / "lab-matrix", "--matrix-versions", "only")
    targets = json.loads(ran.out)["target"].values()
    counts = {line.rpartition(" ")[0].strip(): line.split()[-1] for line in ran.err.splitlines()}
    assert counts["Build Targets"] == str(len(targets))
    assert counts["Platform Builds"] == str(sum(len(target["platforms"]) for target in targets))
    assert counts["Registry Tags"] == str(sum(len(target["tags"]) for target in targets))


def test_output_json_of_tags_is_their_default_form():
    context = projects.HERE / "atlas-app"
    plain, as_json = (
        bakery("get", "tags", "--context", context),
        bakery("get", "tags", "--output", "json", "--context", context),
    )
    assert as_json.out == plain.out
    assert json.loads(plain.out)


MISTAKES = {
    "an image": (("--image-name", "^atlas-sever$"), "pass --image-name atlas-server"),
    "an image that resembles none": (("--image-name", "zzz"), "expected one of: atlas-server, atlas-init"),
    "a version": (("--image-version", "2026.03.1"), "pass --image-version 2026.03.0-17"),
    "a version of another image": (("--image-name", "init", "--image-version", "2025.12.2"), "2026.06.1+88.rel3"),
    "a variant": (("--image-variant", "Standrd"), "pass --image-variant Standard"),
    "a system": (("--image-os", "Ubuntu 24.4"), "pass --image-os 'Ubuntu 24.04'"),
    "a system of another version": (
        ("--image-version", "2025.12", "--image-os", "Ubuntu"),
        "expected one of: Debian 12",
    ),
    "a platform": (("--image-platform", "linux/amd46"), "pass --image-platform linux/amd64"),
    "one of two platforms": (("--image-platform", "amd64", "--image-platform", "s390x"), "linux/amd64"),
}


@pytest.mark.parametrize(("filters", "named"), MISTAKES.values(), ids=MISTAKES)
def test_a_filter_that_matches_nothing_in_the_project_exits_1_with_the_nearest_name(filters, named):
    ran = bakery("get", "targets", "--context", projects.HERE / "atlas-app", *filters)
    assert (ran.code, ran.out) == (1, ""), ran.err
    assert named in ran.err
    assert "--allow-empty" in ran.err


EMPTY = {
    "get tags --image-name zzz": "{}\n",
    "get tags --output uid --image-version 1999": "{}\n",
    "get targets --output json --image-name zzz": "[]\n",
    "get config --output json --image-name zzz": '"images": []',
    "ci matrix zzz": "[]\n",
    "ci matrix --image-version 1999": "[]\n",
    "ci matrix zzz --shards 2": '"images": [], "targets": 0',
    "build --plan --image-name zzz": '"target": {}',
    "dgoss run --image-name zzz": "",
}


@pytest.mark.parametrize(("words", "printed"), EMPTY.items(), ids=EMPTY)
def test_allow_empty_turns_a_filter_that_matches_nothing_into_a_warning(words, printed):
    project = ("--context", projects.HERE / "atlas-app")
    refused = bakery(*words.split(), *project)
    assert (refused.code, refused.out) == (1, ""), refused.err
    assert refused.err.startswith("error[project/no-match]: no ")
    allowed = bakery(*words.split(), *project, "--allow-empty")
    assert allowed.code == 0, allowed.err
    assert printed in allowed.out
    assert "no image matches" in allowed.err or "no version matches" in allowed.err


def test_a_filter_on_the_state_of_versions_may_select_nothing():
    for words in (
        ("ci", "matrix", "--dev-versions", "only"),
        ("ci", "matrix", "--matrix-versions", "only"),
        ("get", "tags", "--matrix-versions", "only"),
        ("get", "tags", "--image-version", "2025.12", "--latest"),
        ("get", "tags", "--dev-versions", "only"),
    ):
        ran = bakery(*words, "--context", projects.HERE / "atlas-app")
        assert (ran.code, ran.out) in ((0, "[]\n"), (0, "{}\n")), ran.err
    nothing_changed = bakery(
        "ci", "matrix", "--context", projects.HERE / "atlas-app", "--changed-files-from", "-", stdin="README.md\n"
    )
    assert (nothing_changed.code, nothing_changed.out) == (0, "[]\n")


def test_the_matrix_lists_no_job_twice():
    ran = bakery("ci", "matrix", "--context", projects.HERE / "atlas-app", "--exclude", "version", "--exclude", "dev")
    jobs = json.loads(ran.out)
    assert len(jobs) == len({tuple(job.items()) for job in jobs}) > 2


def test_there_are_not_more_shards_than_machines():
    for many in ("10001", "9" * 400):
        ran = bakery("ci", "matrix", "--shards", many)
        assert (ran.code, "--shards" in ran.err) == (ExitCode.USAGE, True)


def test_shards_hold_every_image_once():
    ran = bakery("ci", "matrix", "--context", projects.HERE / "atlas-app", "--shards", "3")
    shares = json.loads(ran.out)
    assert [share["shard"] for share in shares] == ["1/3", "2/3", "3/3"]
    assert sorted(image for share in shares for image in share["images"]) == ["atlas-init", "atlas-server"]
    assert sum(share["targets"] for share in shares) == 11


def test_an_offline_lookup_fails_with_a_hint(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    ran = bakery("get", "tags", "--context", projects.HERE / "nightly", "--matrix-versions", "only", "--offline")
    assert ran.code == 1
    assert "--offline" in ran.err
    assert "hint:" in ran.err
    only = bakery("get", "tags", "--context", projects.HERE / "nightly", "--dev-versions", "only", "--offline")
    assert only.code == 1
    include = bakery("get", "tags", "--context", projects.HERE / "nightly", "--dev-versions", "include", "--offline")
    assert include.code == 0
    assert "is left out" in include.err


def test_a_pinned_development_version_needs_no_lookup(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    spec = '{"version": "2026.04.0-12", "channel": "daily"}'
    words = ("--dev-versions", "only", "--matrix-versions", "include", "--image-name", "positron", "--dev-spec", spec)
    ran = bakery("get", "targets", "--output", "json", "--context", projects.HERE / "nightly", "--offline", *words)
    assert ran.code == 0
    assert [target["uid"] for target in json.loads(ran.out)] == ["positron-init-2026-04-0-12-ubuntu-24-04-daily"]


def test_check_counts_and_strict_turns_warnings_into_errors(tmp_path):
    ran = bakery("check", "--context", projects.HERE / "lab-matrix", "--strict")
    assert ran.code == 0
    assert "4 images, 15 versions, 33 targets" in ran.out
    (tmp_path / "bakery.yaml").write_text("repository: {url: x.org}\nimages: [{name: a, versoins: []}]\n")
    loose, strict = (bakery("check", "--context", tmp_path, *words) for words in ((), ("--strict",)))
    assert (loose.code, strict.code) == (0, 3)
    assert all("versoins" in one.err and "write `versions`" in one.err for one in (loose, strict))
    assert strict.out == ""


def test_the_matrix_has_runners_and_ids_if_runners_are_given():
    runners = "default=ubuntu-24.04 linux/arm64=ubuntu-24.04-arm\n"
    ran = bakery("ci", "matrix", "--context", HELLO, "hello", environ={"BAKERY_RUNNERS": runners})
    assert [(job["id"], job["runner"]) for job in json.loads(ran.out)] == [
        ("hello-1.0.0-linux-amd64", "ubuntu-24.04"),
        ("hello-1.0.0-linux-arm64", "ubuntu-24.04-arm"),
    ]


def test_the_matrix_of_a_bake_file_has_every_platform_once(tmp_path):
    targets = {"app": {"platforms": ["linux/arm64", "linux/amd64"]}, "tool": {}, "web": {"platforms": ["linux/arm64"]}}
    group = {"default": {"targets": ["app", "tool"]}}
    (tmp_path / "bake.json").write_text(json.dumps({"target": targets, "group": group}))
    ran = bakery("ci", "matrix", "--bake", tmp_path / "bake.json")
    assert json.loads(ran.out) == [{"platform": "linux/arm64"}, {"platform": "linux/amd64"}]
    ran = bakery("ci", "matrix", "--platform", "linux/riscv64", "--runner", "default=x")
    assert json.loads(ran.out) == [{"platform": "linux/riscv64", "runner": "x", "id": "linux-riscv64"}]
    assert bakery("ci", "matrix", "--platform", "linux").code == 2
