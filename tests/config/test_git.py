"""What git knows of a project's directory: the commit in its labels, the changed files, and their old text."""

import pytest

from bakery.app.git import run_git
from bakery.config.git import GitFailed, changed_files, old_text, revision
from tests.config.repositories import git

COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture
def repository(tmp_path):
    """A repository with one commit on `main`."""
    git(tmp_path, "init")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "bakery.yaml").write_text("old\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    return tmp_path


def test_the_revision_is_read_from_loose_packed_and_detached_heads_and_from_worktrees(repository, tmp_path_factory):
    inside, tree = repository / "images", tmp_path_factory.mktemp("trees") / "tree"
    head = git(repository, "rev-parse", "HEAD")
    assert revision(inside) == head
    git(repository, "worktree", "add", str(tree), "-b", "other")
    assert revision(tree) == head
    git(repository, "pack-refs", "--all")
    assert revision(inside) == head
    assert revision(tree) == head
    git(repository, "checkout", "--detach")
    assert revision(inside) == head


def test_a_directory_outside_a_repository_has_no_revision(tmp_path):
    assert revision(tmp_path) is None


def test_git_is_run_only_if_its_files_do_not_name_the_commit(repository):
    calls = []

    def runner(directory, arguments):
        calls.append((directory, tuple(arguments)))
        return f"{COMMIT}\n".encode()

    assert revision(repository, runner) == git(repository, "rev-parse", "HEAD")
    assert calls == []
    (repository / ".git" / "HEAD").write_text("ref: refs/heads/.invalid\n")  # as in a repository with reftable
    assert revision(repository, runner) == COMMIT
    assert calls == [(repository, ("rev-parse", "--verify", "HEAD"))]
    assert revision(repository) is None


def test_a_revision_that_git_cannot_name_is_none(tmp_path):
    (tmp_path / ".git").mkdir()
    assert revision(tmp_path, run_git) is None


def test_changed_files_are_those_under_the_context_since_the_merge_base(repository):
    context = repository / "images"
    git(repository, "checkout", "-q", "-b", "work")
    (context / "ä b.txt").write_text("x")
    (context / "bakery.yaml").write_text("new\n")
    (repository / "outside").write_text("x")
    git(repository, "add", ".")
    git(repository, "commit", "-m", "on the branch")
    git(repository, "checkout", "-q", "main")
    (context / "late").write_text("x")
    git(repository, "add", ".")
    git(repository, "commit", "-m", "on main only")
    git(repository, "checkout", "-q", "work")
    changes = changed_files(context, "main", run_git)
    assert changes.paths == ("bakery.yaml", "ä b.txt")
    assert old_text(context, changes.base, "bakery.yaml", run_git) == "old\n"
    assert old_text(context, changes.base, "none", run_git) is None


@pytest.mark.parametrize("ref", ["0" * 40, "no-such-branch", "--output=x"])
def test_an_unknown_commit_is_an_error_that_names_it(repository, ref):
    with pytest.raises(GitFailed) as caught:
        changed_files(repository, ref, run_git)
    assert ref in str(caught.value)
    assert "fetch-depth" in caught.value.hint


def test_git_that_cannot_be_started_is_an_error(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(GitFailed, match="git"):
        changed_files(repository, "main", run_git)
