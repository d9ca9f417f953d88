"""The plugin of docs/plugins.md, installed as a package manager would install it, and plugins that do not work."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.plugins.examples import make_project
from tests.program import PROGRAM

ROOT = Path(__file__).parents[2]
BAKERY = [*PROGRAM]
PROJECT = """
repository: {url: github.com/acme/images, vendor: Acme, maintainer: {name: A, email: a@acme.test}}
registries: [{host: registry.acme.test, namespace: acme}]
images:
  - name: app
    options: [{tool: lines, maximum: 2}]
    versions: [{name: 1.0.0}]
  - name: other
    versions: [{name: 2.0.0}]
"""


def install(site, name, entry_points, modules):
    """Write to `site` what an installer writes: the modules, and the distribution's metadata."""
    site.mkdir(exist_ok=True)
    for file, text in modules.items():
        (site / file).write_text(text)
    record = site / f"{name.replace('-', '_')}-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{key} = {value}" for key, value in entry_points.items()]
    (record / "entry_points.txt").write_text("[bakery.plugins]\n" + "\n".join(lines) + "\n")


@pytest.fixture
def documented(tmp_path):
    """A site directory with the plugin of the documentation."""
    text = (ROOT / "docs/plugins.md").read_text()
    project = tomllib.loads(re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0])["project"]
    module = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    site = tmp_path / "site"
    install(site, project["name"], project["entry-points"]["bakery.plugins"], {"bakery_lines.py": module})
    return site


def bakery(site, *arguments):
    paths = os.pathsep.join([str(site), str(ROOT / "src")])
    return subprocess.run(
        [*BAKERY, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONPATH": paths},
    )


def test_the_documented_plugin_runs_and_its_options_are_read(documented, tmp_path):
    folder = tmp_path / "project"
    for target in make_project(folder, PROJECT.replace("tool: lines, maximum: 2", "tool: goss")):
        (folder / target.containerfile).write_text("FROM x\nRUN y\nRUN z\n")
    (folder / "bakery.yaml").write_text(PROJECT)

    limits = bakery(documented, "lines", "limits", "--context", str(folder))
    assert limits.stdout.splitlines() == ["app-1-0-0 2", "other-2-0-0 100"], limits.stderr

    done = bakery(documented, "lines", "run", "--context", str(folder))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == ["too many: app-1-0-0: 3 lines", "other-2-0-0: 3 lines"]
    assert bakery(documented, "lines", "run", "--context", str(folder), "--image-name", "other").returncode == 0


def test_a_plugin_is_found_in_an_egg_info_directory_and_in_an_archive(documented, tmp_path):
    record = next(documented.glob("*.dist-info"))
    old = tmp_path / "old"
    (old / "bakery_lines.egg-info").mkdir(parents=True)
    (old / "bakery_lines.py").write_bytes((documented / "bakery_lines.py").read_bytes())
    (old / "bakery_lines.egg-info" / "PKG-INFO").write_bytes((record / "METADATA").read_bytes())
    (old / "bakery_lines.egg-info" / "entry_points.txt").write_bytes((record / "entry_points.txt").read_bytes())
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", documented)
    for site in (old, archive):
        assert "Count the lines of Containerfiles." in bakery(site, "--help").stdout, site


def test_help_lists_the_commands_of_plugins(documented):
    assert "Count the lines of Containerfiles." in bakery(documented, "--help").stdout


def test_a_command_of_a_plugin_parses_its_own_arguments_and_shows_its_full_name(documented):
    assert "Usage: bakery lines run [OPTIONS]" in bakery(documented, "lines", "run", "--help").stdout
    wrong = bakery(documented, "lines", "run", "--context")
    assert wrong.returncode == 2
    assert wrong.stderr == "error[usage/invalid]: option '--context' requires an argument\n"
    extra = bakery(documented, "lines", "limits", "now")
    assert extra.stderr.splitlines()[-1] == "hint: run 'bakery lines limits --help' for usage"
    assert bakery(documented, "lines").stderr.startswith("Usage: bakery lines")
    assert bakery(documented, "lines", "--no-such-option").returncode == 2


def test_the_hint_for_a_mistyped_command_names_the_nearest_command_of_a_plugin(documented):
    done = bakery(documented, "lnes")
    assert done.returncode == 2
    assert "run 'bakery lines'" in done.stderr


@pytest.mark.parametrize(
    ("words", "names"),
    [("bakery li", ["lines"]), ("bakery lines r", ["run"]), ("bakery lines run --i", ["--image-name"])],
)
def test_completion_includes_the_commands_and_options_of_a_plugin(words, names, documented):
    paths = os.pathsep.join([str(documented), str(ROOT / "src")])
    asked = {"_BAKERY_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run(
        BAKERY, capture_output=True, text=True, check=True, timeout=60, env=os.environ | asked | {"PYTHONPATH": paths}
    )
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == names, done.stderr


def test_an_exception_of_a_plugins_command_is_reported_like_that_of_a_built_in_command(documented):
    install(
        documented,
        "acme-failing",
        {"failing": "acme_failing:Failing"},
        {
            "acme_failing.py": """
import logging
from bakery.errors import AuthError
class Failing:
    name, description = "failing", "Fails."
    def register_cli(self, app):
        @app.command("refused")
        def refused():
            "Fail."
            logging.getLogger("bakery.failing").warning("on the way")
            raise AuthError("cannot log in", status=401)
        @app.command("wrong")
        def wrong(): raise RuntimeError("a bug")
        @app.command("version")
        def version(): print("theirs")
    def execute(self, base_path, targets, **kwargs): return []
    def results(self, results): pass
"""
        },
    )
    refused = bakery(documented, "--log-format", "json", "refused")
    assert refused.returncode == 4
    last = json.loads(refused.stderr.splitlines()[-1])
    assert (last["level"], last["code"], last["message"]) == ("error", "auth/denied", "cannot log in: 401")
    assert '"on the way"' in refused.stderr.splitlines()[0]
    wrong = bakery(documented, "wrong")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error[")
    assert "Traceback" not in wrong.stderr
    assert bakery(documented, "version").stdout.startswith("Bakery v")  # built-in commands take precedence
    assert bakery(documented, "--help").stdout.count("  version ") == 1


def test_plugins_that_do_not_work_are_warnings_and_the_others_go_on(documented):
    install(
        documented,
        "acme-broken",
        {
            "gone": "no_such_module:Plugin",
            "raising": "acme_broken:Raising",
            "lacking": "acme_broken:Lacking",
            "failing": "acme_broken:Failing",
            "twin": "acme_broken:Twin",
            "half": "acme_broken:Half",
            "leaving": "acme_leaving:Plugin",
            "quitting": "acme_broken:Quitting",
            "nameless": "acme_broken:Nameless",
            "interrupting": "acme_broken:Interrupting",
        },
        {
            "acme_leaving.py": "import sys; sys.exit(0)",
            "acme_broken.py": """
import sys
class Raising:
    def __init__(self): raise RuntimeError("not today")
class Lacking:
    name = "lacking"
class Failing:
    name, description = "failing", ""
    def register_cli(self, app): raise LookupError("no commands")
    def execute(self, base_path, targets, **kwargs): return []
    def results(self, results): pass
class Twin(Failing):
    name = "lines"
    def register_cli(self, app): pass
class Half(Failing):
    name = "half"
    def register_cli(self, app):
        @app.command("half")
        def half(path: "Nowhere"): pass
class Quitting(Failing):
    name = "quitting"
    def register_cli(self, app): sys.exit(0)
class Nameless(Failing):
    name = 5
class Interrupting:
    def __init__(self): raise KeyboardInterrupt("no\\x1b[31m\\n::error::signal")
""",
        },
    )
    garbled = documented / "acme_garbled-1.0.dist-info"
    garbled.mkdir()
    (garbled / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-garbled\n")
    (garbled / "entry_points.txt").write_bytes(b"[bakery.plugins]\nx = \xff\xfe:y\n")
    done = bakery(documented, "--help")
    assert done.returncode == 0
    for text in (
        "ignoring plugin gone (no_such_module:Plugin in acme-broken): ModuleNotFoundError",
        "ignoring plugin leaving (acme_leaving:Plugin in acme-broken): SystemExit: 0",
        "the commands of plugin quitting cannot be added: 0",
        "ignoring plugin nameless (acme_broken:Nameless in acme-broken): it does not define a name that is a string",
        "plugin interrupting (acme_broken:Interrupting in acme-broken): KeyboardInterrupt: no\\x1b[31m ::error::signal",
        "ignoring the plugins in",
        "ignoring plugin raising (acme_broken:Raising in acme-broken): RuntimeError: not today",
        "does not define description, register_cli, execute, results",
        "the commands of plugin failing cannot be added: no commands",
        "the commands of plugin half cannot be added",
        "another plugin is also called lines",
    ):
        assert text in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert "Count the lines of Containerfiles." in done.stdout
    # A built-in command loads none of them.
    assert bakery(documented, "version").stderr == ""
