"""`bakery init` writes a project that checks, rehearses and, on a terminal, asks; it never overwrites a file."""

import os
import pty
import re
import subprocess
import sys

import pytest

from bakery.config.load import load_project
from tests.cli.running import bakery
from tests.config.repositories import git
from tests.program import PROGRAM, RUN

WHO = ("--vendor", "Acme", "--maintainer", "Images <images@acme.example>")


@pytest.fixture(autouse=True)
def _no_user_of_git(tmp_path, monkeypatch):
    """The folder is in no repository, and git has no user, unless a test says so."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_CONFIG_COUNT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path):
    """An empty folder of a project called `app`."""
    made = tmp_path / "app"
    made.mkdir()
    return made


def with_remote(folder, url="git@github.com:Acme/app.git"):
    git(folder, "init", "-q")
    git(folder, "remote", "add", "origin", url)
    return folder


def repository(folder):
    return load_project(folder, strict=True).repository


def is_usable(folder, warnings=0):
    """Whether check --strict and rehearse succeed, with this number of warnings."""
    checked = bakery("check", "--strict", "--context", folder)
    assert (checked.code, checked.err.count("warning:")) == (0, warnings), checked.err
    rehearsed = bakery("rehearse", folder)
    assert rehearsed.code == 0, rehearsed.err
    return True


def test_the_remote_and_the_options_make_a_project_that_checks_and_rehearses_without_a_warning(folder):
    ran = bakery("init", "--context", with_remote(folder), *WHO)
    written = [folder / "app" / "1.0.0" / "Containerfile.scratch", folder / "bakery.yaml"]
    assert (ran.code, ran.out.splitlines()) == (0, [str(path) for path in written])
    assert all(path.is_file() for path in written)
    text = written[1].read_text()
    assert "`bakery get schema > bakery.schema.json`" in text.partition("\n\n")[0]
    assert not re.search(r"^# yaml-language-server:", text, re.MULTILINE), "a schema that is not there is an error"
    assert "Posit" not in text
    assert "posit." not in text
    project = load_project(folder, strict=True)
    assert project.repository.url == "https://github.com/Acme/app"
    assert (project.repository.vendor, str(project.repository.maintainer)) == ("Acme", "Images <images@acme.example>")
    assert project.repository.label_namespace == "com.github.acme"
    assert project.images[0].versions[0].repositories == ("ghcr.io/acme/app",)
    assert is_usable(folder)


def test_without_git_check_names_the_placeholders_and_the_missing_names(folder):
    ran = bakery("init", "--context", folder)
    assert ran.code == 0
    assert ran.err.count("placeholder") == 2
    assert is_usable(folder, warnings=5)
    checked = bakery("check", "--context", folder).err
    for place in ("repository.url", "repository.labelNamespace", "registries[0].host"):
        assert f"{place}: this is a placeholder" in checked
    assert "no label for the vendor" in checked
    assert "no label for the maintainer" in checked


def test_git_names_vendor_and_maintainer_unless_options_do(folder):
    with_remote(folder)
    git(folder, "config", "user.name", "Jo (Ops), B.")
    git(folder, "config", "user.email", "jo@acme.example")
    assert bakery("init", "--context", folder, "--vendor", "Acme: Images #1").code == 0
    found = repository(folder)
    assert (found.vendor, str(found.maintainer)) == ("Acme: Images #1", "Jo (Ops), B. <jo@acme.example>")
    assert is_usable(folder)


def test_a_user_of_git_without_a_usable_address_is_no_maintainer(folder):
    with_remote(folder)
    git(folder, "config", "user.name", "Jo")
    git(folder, "config", "user.email", "jo@localhost")
    assert "names no maintainer" in bakery("init", "--context", folder).err
    assert (repository(folder).vendor, repository(folder).maintainer) == ("Jo", None)


def test_the_remote_of_a_repository_of_another_owner_is_read(folder, monkeypatch):
    with_remote(folder)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own switch: giving files away takes root
    with pytest.raises(subprocess.CalledProcessError):
        git(folder, "status")
    assert bakery("init", "--context", folder, *WHO).code == 0
    assert repository(folder).url == "https://github.com/Acme/app"


def test_a_folder_within_a_repository_names_the_image(folder):
    inner = with_remote(folder) / "services" / "API_v2"
    inner.mkdir(parents=True)
    assert bakery("init", "--context", inner, *WHO).code == 0
    assert load_project(inner).images[0].versions[0].repositories == ("ghcr.io/acme/api-v2",)
    assert repository(inner).url == "https://github.com/Acme/app"


def test_every_registry_and_the_name_of_the_image_can_be_given(folder):
    places = ("--registry", "ghcr.io/acme", "--registry", "registry.example:5000")
    url = "https://git.example.org/x"
    assert bakery("init", "--context", folder, *WHO, *places, "--url", url, "--image", "tool").code == 0
    image = load_project(folder).images[0]
    assert image.versions[0].repositories == ("ghcr.io/acme/tool", "registry.example:5000/tool")
    assert is_usable(folder)


WRONG = {
    "a url of another scheme": ("--url", "ftp://x.org/y"),
    "a url without a path": ("--url", "https://x.org"),
    "a maintainer without an address": ("--maintainer", "Jo"),
    "a registry without a host": ("--registry", "acme"),
    "a namespace in upper case": ("--registry", "ghcr.io/Acme"),
    "an image in upper case": ("--image", "App"),
    "an image with a slash": ("--image", "a/b"),
}


@pytest.mark.parametrize("words", WRONG.values(), ids=WRONG)
def test_a_wrong_option_is_named_and_nothing_is_written(folder, words):
    ran = bakery("init", "--context", folder, *words)
    assert ran.code == 2
    assert f"invalid value for {words[0]}" in ran.err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["bakery.yaml", "bakery.yml"])
@pytest.mark.parametrize("words", [("init",), ("create", "project"), ("c", "project"), ("new", "project")])
def test_a_project_is_never_overwritten(folder, name, words):
    (folder / name).write_text("not even a project")
    ran = bakery(*words, "--context", folder)
    assert ran.code == 1
    assert "already exists" in ran.err
    assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_text() == "not even a project"


def test_a_link_to_nowhere_counts_as_a_project(folder):
    (folder / "bakery.yaml").symlink_to("nowhere")
    assert bakery("init", "--context", folder).code == 1
    assert not (folder / "nowhere").exists()


def test_the_old_name_does_the_same(folder):
    assert bakery("create", "project", "--context", with_remote(folder), *WHO).code == 0
    assert is_usable(folder)


@pytest.mark.parametrize("name", ["Containerfile", "Dockerfile"])
def test_a_containerfile_of_the_folder_becomes_the_image(folder, name):
    (folder / name).write_text("FROM scratch\n")
    ran = bakery("init", "--context", with_remote(folder), *WHO)
    assert ran.code == 0
    assert (folder / "Containerfile").read_text() == "FROM scratch\n"
    assert (folder / "Containerfile").is_symlink() == (name == "Dockerfile")
    assert (folder / name).read_text() == "FROM scratch\n"
    assert sorted(path.name for path in folder.iterdir()) == sorted({".git", "Containerfile", name, "bakery.yaml"})
    assert is_usable(folder, warnings=1)  # without a system, the platform is linux/amd64


def test_an_existing_file_of_the_example_is_kept(folder):
    file = folder / "app" / "1.0.0" / "Containerfile.scratch"
    file.parent.mkdir(parents=True)
    file.write_text("FROM mine\n")
    ran = bakery("init", "--context", folder)
    assert (ran.code, ran.out.splitlines()) == (0, [str(folder / "bakery.yaml")])
    assert file.read_text() == "FROM mine\n"


def test_a_folder_that_cannot_be_written_is_an_error_of_one_line(folder):
    (folder / "app").write_text("a file where a folder should be")
    ran = bakery("init", "--context", folder)
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert not (folder / "bakery.yaml").exists()


def on_a_terminal(folder, *lines, words=()):
    """Run `bakery init` on a pty with these answers; return exit code and what the terminal showed."""
    ours, theirs = pty.openpty()
    command = [*PROGRAM, "init", *words]
    with subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        os.write(ours, "".join(lines).encode())
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # Linux, once the other end is closed
            pass
        code = process.wait()
    os.close(ours)
    return code, shown.decode()


def test_on_a_terminal_questions_are_asked_for_what_no_option_gives(folder):
    answers = ("\n", "Acme Inc\n", "nobody\n", "Jo <jo@acme.example>\n", "ghcr.io/acme, quay.io/acme\n", "\n")
    code, shown = on_a_terminal(with_remote(folder), *answers)
    assert code == 0, shown
    assert "URL of the git repository [https://github.com/Acme/app]: " in shown
    assert "\x1b[1;31merror[usage/invalid]:\x1b[0m invalid value for --maintainer" in shown
    project = load_project(folder)
    assert (project.repository.vendor, str(project.repository.maintainer)) == ("Acme Inc", "Jo <jo@acme.example>")
    assert project.images[0].versions[0].repositories == ("ghcr.io/acme/app", "quay.io/acme/app")


def test_the_answer_about_the_url_suggests_the_registry_and_the_name(folder):
    code, shown = on_a_terminal(folder, "git@gitlab.com:acme/tools.git\n", *["\n"] * 4)
    assert code == 0, shown
    assert load_project(folder).images[0].versions[0].repositories == ("registry.gitlab.com/acme/tools/tools",)


def test_no_question_is_asked_with_yes_or_for_what_options_give(folder):
    code, shown = on_a_terminal(with_remote(folder), words=(*WHO, "--yes"))
    assert code == 0
    assert "[https" not in shown
    (folder / "bakery.yaml").unlink()
    options = ("--url", "x.org/y", "--registry", "x.org", "--image", "y")
    code, shown = on_a_terminal(folder, words=(*WHO, *options))
    assert code == 0
    assert "Vendor" not in shown


@pytest.mark.parametrize(("key", "code"), [("\x03", 130), ("\x04", 1)])
def test_nothing_is_written_if_the_questions_are_not_finished(folder, key, code):
    # Ctrl-C and Ctrl-D as the terminal sends them; for Ctrl-C, the terminal must be the controlling one.
    script = (
        "import os, fcntl, termios, sys\n"
        "os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "os.execv(sys.executable, [sys.executable, '-c', sys.argv[1], 'init'])"
    )
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", script, RUN]
    with subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while b"Vendor" not in shown:
            shown += os.read(ours, 4096)
            if b"repository: " in shown:
                os.write(ours, b"x.org/y\n")
                shown = shown.replace(b"repository: ", b"")
        os.write(ours, key.encode())
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:
            pass
        assert process.wait() == code, shown
    os.close(ours)
    assert list(folder.iterdir()) == []
