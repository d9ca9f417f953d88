"""A small GitHub runner: it runs the jobs of a workflow here, one after another.

Every `run:` is executed by bash as a runner does, in a workspace and with the files and variables of its own job. Our
own actions are run step by step; of third-party actions, this does what our workflows need, with local folders. On an
Enterprise server, it refuses what such a server does not know, and runners keep their workspace between jobs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.workflows.artifacts import Artifacts, StepFailed
from tests.workflows.expressions import as_text, filled, is_true

ROOT = Path(__file__).resolve().parents[2]
GITHUB = "https://github.com"
EXECUTED: set[str] = (
    set()
)  # every script that a test of this session ran; test_every_line.py compares it with the files


@dataclass
class Job:
    """A job as it runs: its folders, variables, and what its steps set."""

    folder: Path
    workspace: Path
    contexts: dict[str, Any]
    variables: dict[str, str]
    paths: list[str] = field(default_factory=list)
    failed: bool = False

    @property
    def functions(self) -> Mapping[str, Callable[[], bool]]:
        return {
            "success": lambda: not self.failed,
            "failure": lambda: self.failed,
            "always": lambda: True,
            "cancelled": lambda: False,
        }


@dataclass
class Ran:
    """A finished run. results: of each job, `success`, `failure` or `skipped`. page: the step summaries of all jobs."""

    results: dict[str, str]
    outputs: dict[str, Any]
    page: str
    log: str

    @property
    def is_green(self) -> bool:
        return "failure" not in self.results.values()


class Runner:
    """Runs workflows. sources: the repository that `$/` means. project: what a checkout checks out.

    shims: folders that are first in PATH. tools: the tool cache.
    """

    def __init__(
        self, folder: Path, *, sources: Path, project: Path, shims: str, tools: Path, variables: Mapping[str, str]
    ) -> None:
        self._folder, self._sources, self._project, self._shims = folder, sources, project, shims
        self._tools, self._variables = tools, variables
        self._runs = 0
        self.server = GITHUB
        self.action_ref = ""
        self.actions = "OWNER/bakery@"  # the repository of our actions, and their commit if it has to be a certain one
        self.keeps_workspace = False
        self._artifacts = Artifacts(folder / "artifacts")
        self.uploaded = folder / "uploaded to PyPI"
        self._page, self._log = folder / "page.md", folder / "log.txt"
        folder.mkdir(parents=True, exist_ok=True)
        self._page.touch()
        self._log.touch()

    def join(self, server: str, actions: str) -> None:
        """Become a runner of an Enterprise server. actions: our repository there and a commit: `acme/bakery@0123…`."""
        self.server, self.actions = server, actions
        self.keeps_workspace = self._artifacts.on_enterprise = True

    def run(self, workflow: str, inputs: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> Ran:
        """Run every job of a workflow of `sources` in the order of `needs`."""
        text = (self._sources / ".github/workflows" / f"{workflow}.yml").read_text()
        if self._artifacts.on_enterprise:
            assert not [event for event in yaml.parse(text) if getattr(event, "anchor", None)], "anchors"
        return self.run_document(yaml.safe_load(text), inputs, secrets)

    def run_document(
        self, document: dict[Any, Any], inputs: Mapping[str, Any], secrets: Mapping[str, str] | None = None
    ) -> Ran:
        """Run a workflow that is called, or one of a page."""
        events = document.get("on") or document.get(True) or {}  # YAML 1.1 reads `on` as true
        called = events.get("workflow_call", {})
        declared = called.get("inputs", {})
        assert set(inputs) <= set(declared), "an input that the workflow does not have"
        given = {name: inputs.get(name, one.get("default")) for name, one in declared.items()}
        needs: dict[str, Any] = {}
        self._runs += 1
        if self._runs > 1:
            self._artifacts.forget()
        for name, job in document["jobs"].items():
            wanted = job.get("needs", [])
            wanted = [wanted] if isinstance(wanted, str) else wanted
            assert all(one in needs for one in wanted), f"{name} is listed before what it needs"
            contexts = self._contexts(given, secrets or {}) | {"needs": {one: needs[one] for one in wanted}}
            env = {**document.get("env", {}), **job.get("env", {})}
            needs[name] = self._job(name, {**job, "env": env}, contexts)
        outputs = filled(
            {name: one["value"] for name, one in called.get("outputs", {}).items()},
            {"jobs": needs},
        )
        results = {name: one["result"] for name, one in needs.items()}
        return Ran(results, outputs, self._page.read_text(), self._log.read_text())

    def _contexts(self, inputs: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
        github = {
            "token": "a-token",
            "actor": "someone",
            "server_url": self.server,
            "action_ref": self.action_ref,
            "repository": "Acme/Images",
            "repository_owner": "Acme",
            "event": {},
        }
        given = {"inputs": dict(inputs), "secrets": dict(secrets), "vars": {"HUB_USER": "someone"}}
        return {**given, "github": github, "matrix": {}, "strategy": {}}

    def _job(self, name: str, job: Mapping[str, Any], contexts: dict[str, Any]) -> dict[str, Any]:
        results = [one["result"] for one in contexts["needs"].values()]
        functions = {
            "success": lambda: all(one == "success" for one in results),
            "failure": lambda: "failure" in results,
            "always": lambda: True,
            "cancelled": lambda: False,
        }
        if not is_true(job.get("if"), contexts, functions):
            return {"result": "skipped", "outputs": {}}
        matrix = filled(job.get("strategy", {}).get("matrix", {}), contexts)
        (axis, values) = next(iter(matrix.items())) if matrix else ("", [None])
        outcomes = []
        for number, value in enumerate(values):
            own = {**contexts, "matrix": value if axis == "include" else {axis: value}, "steps": {}}
            outcomes.append(self._run_job(f"{name}-{number}", job, own))
        result = "failure" if any(one.failed for one in outcomes) else "success"
        return {"result": result, "outputs": filled(job.get("outputs", {}), outcomes[-1].contexts)}

    def _run_job(self, name: str, job: Mapping[str, Any], contexts: dict[str, Any]) -> Job:
        folder = self._folder / str(self._runs) / name
        workspace = self._folder / "kept" / name if self.keeps_workspace else folder / "workspace"
        workspace.mkdir(parents=True, exist_ok=True)
        (folder / "temp").mkdir(parents=True)
        env = {name: as_text(one) for name, one in filled(job["env"], contexts).items()}
        own = {"temp": str(folder / "temp"), "os": "Linux"}
        running = Job(folder, workspace, {**contexts, "runner": own}, env)
        labels = filled(job["runs-on"], contexts)
        hosted = "ubuntu" in str(labels)
        assert not (self._artifacts.on_enterprise and hosted), f"the server does not have runners {labels}"
        for step in job["steps"]:
            self._step(step, running, running.contexts)
        return running

    def _step(self, step: Mapping[str, Any], job: Job, contexts: dict[str, Any], action: Path | None = None) -> None:
        if not is_true(step.get("if"), contexts, job.functions):
            return
        failed, outputs = job.failed, dict[str, str]()
        if "run" in step:
            outputs = self._bash(step, job, contexts, action)
        else:
            try:
                outputs = self._use(step["uses"], filled(step.get("with", {}), contexts), job)
            except StepFailed as error:
                job.failed = True
                self._note(f"{step['uses']}: {error}")
        if step.get("continue-on-error") is True:
            job.failed = failed
        if "id" in step:
            contexts["steps"][step["id"]] = {"outputs": outputs}

    def _note(self, text: str) -> None:
        with self._log.open("a") as log:
            log.write(f"{text}\n")

    def _bash(self, step: Mapping[str, Any], job: Job, contexts: dict[str, Any], action: Path | None) -> dict[str, str]:
        assert "${{" not in step["run"], "an expression reaches a shell"
        EXECUTED.add(step["run"])
        files = {name: job.folder / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH")}
        for file in files.values():
            file.write_text("")
        script = job.folder / "script.sh"
        script.write_text(step["run"])
        env = {name: as_text(one) for name, one in filled(step.get("env", {}), contexts).items()}
        variables = {
            **self._variables,
            **{name: str(file) for name, file in files.items()},
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": self.server,
            "GITHUB_API_URL": "https://api.github.com" if self.server == GITHUB else f"{self.server}/api/v3",
            "GITHUB_REPOSITORY": job.contexts["github"]["repository"],
            "GITHUB_STEP_SUMMARY": str(self._page),
            "GITHUB_WORKSPACE": str(job.workspace),
            "GITHUB_ACTION_PATH": str(action or ""),
            "RUNNER_TEMP": str(job.folder / "temp"),
            "RUNNER_TOOL_CACHE": str(self._tools),
            "PATH": ":".join([self._shims, *reversed(job.paths), os.environ["PATH"]]),
            **job.variables,
            **env,
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        with self._log.open("a") as log:
            log.write(f"\n$ {step.get('name', step['run'])}\n")
            log.flush()
            done = subprocess.run(
                command, cwd=job.workspace, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=300
            )
            log.write(f"exit {done.returncode}\n")
        job.failed = job.failed or done.returncode != 0
        job.paths += files["GITHUB_PATH"].read_text().split("\n")[:-1]
        job.variables.update(settings(files["GITHUB_ENV"].read_text()))
        return settings(files["GITHUB_OUTPUT"].read_text())

    def _use(self, uses: str, given: Mapping[str, Any], job: Job) -> dict[str, str]:
        path, _, ref = uses.partition("@")
        repository, _, commit = self.actions.partition("@")
        if path.startswith("$/"):
            assert not self._artifacts.on_enterprise, "the server does not know $/"
            return self._composite(self._sources / path.removeprefix("$/"), given, job)
        if path.startswith(f"{repository}/"):
            assert commit in ("", ref), f"the server does not have {uses}"
            return self._composite(self._sources / path.removeprefix(f"{repository}/"), given, job)
        if path in ("actions/upload-artifact", "actions/download-artifact"):
            self._artifacts.use(uses, given, job.workspace)
            return {}
        name = path.partition("/")[2].replace("-", "_")
        third_party: Callable[[Mapping[str, Any], Job], dict[str, str]] = getattr(self, f"_{name}")
        return third_party(given, job)

    def _composite(self, folder: Path, given: Mapping[str, Any], job: Job) -> dict[str, str]:
        action = yaml.safe_load((folder / "action.yml").read_text())
        assert set(given) <= set(action["inputs"]), f"an input that {folder.name} does not have"
        inputs = {name: as_text(given.get(name, one.get("default"))) for name, one in action["inputs"].items()}
        contexts = {"inputs": inputs, "github": job.contexts["github"], "runner": job.contexts["runner"], "steps": {}}
        for step in action["runs"]["steps"]:
            self._step(step, job, contexts, folder)
        outputs = {name: one["value"] for name, one in action.get("outputs", {}).items()}
        return {name: as_text(one) for name, one in filled(outputs, contexts).items()}

    # What third-party actions do, as far as our workflows need it.

    def _checkout(self, given: Mapping[str, Any], job: Job) -> dict[str, str]:
        assert given["persist-credentials"] is False
        shutil.rmtree(job.workspace)  # `git clean`, on a runner that keeps its workspace
        shutil.copytree(self._project, job.workspace, dirs_exist_ok=True, symlinks=True)
        return {}

    def _cache(self, given: Mapping[str, Any], job: Job) -> dict[str, str]:
        assert given["key"]
        assert Path(given["path"]).is_relative_to(self._tools)
        return {}

    def _login_action(self, given: Mapping[str, Any], job: Job) -> dict[str, str]:
        assert given["password"]
        return {}

    def _setup_buildx_action(self, given: Mapping[str, Any], job: Job) -> dict[str, str]:
        return {}

    def _configure_aws_credentials(self, given: Mapping[str, Any], job: Job) -> dict[str, str]:
        assert given["role-to-assume"]
        return {}

    def _auth(self, given: Mapping[str, Any], job: Job) -> dict[str, str]:
        assert given["workload_identity_provider"]
        return {"access_token": "a-google-token"}

    def _attest_build_provenance(self, given: Mapping[str, Any], job: Job) -> dict[str, str]:
        if sums := given.get("subject-checksums"):
            assert (job.workspace / sums).read_text()
        else:
            assert given["subject-name"]
            assert given["subject-digest"].startswith("sha256:")
        return {}

    def _gh_action_pypi_publish(self, given: Mapping[str, Any], job: Job) -> dict[str, str]:
        """Keep what the action uploads: everything in dist."""
        shutil.copytree(job.workspace / "dist", self.uploaded)
        return {}

    def _cosign_installer(self, given: Mapping[str, Any], job: Job) -> dict[str, str]:
        return {}

    def _metadata_action(self, given: Mapping[str, Any], job: Job) -> dict[str, str]:
        tags = [
            rule.split("value=")[1]
            for rule in given.get("tags", "type=raw,value=main").split("\n")
            if rule.startswith("type=raw,")
        ]
        names = [f"{image}:{tag}" for image in given["images"].split() for tag in tags]
        job.variables["DOCKER_METADATA_OUTPUT_JSON"] = json.dumps({"tags": names, "annotations": []})
        return {"tags": "\n".join(names)}


def settings(text: str) -> dict[str, str]:
    """Return what a file of a step sets: NAME=VALUE, or NAME<<DELIMITER, lines, DELIMITER."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        name, separator, rest = line.partition("<<") if "<<" in line.partition("=")[0] else line.partition("=")
        if separator == "=":
            found[name] = rest
        elif separator:
            value: list[str] = []
            for one in lines:
                if one == rest:
                    break
                value.append(one)
            found[name] = "\n".join(value)
    return found
