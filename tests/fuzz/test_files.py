"""Files that users pass: build metadata, bake files, descriptors, docker's configuration, journals, summaries."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings

from bakery.app.known import read_known
from bakery.app.rollback import RollbackRequest, read_changes
from bakery.app.summaries import merged_page
from bakery.app.timelines import run_of_journal
from bakery.config.load import load_project
from bakery.errors import BakeryError
from bakery.oci.reference import Repository
from bakery.plans.bake import plan_bake, read_bake
from bakery.plans.create import sources_in
from bakery.registry.credentials import Credentials, CredentialSources
from bakery.targets.metadata import Metadata, read_metadata
from tests import projects
from tests.fuzz.mutating import DIGEST, json_bytes, mutated, value_or_error

METADATA = (
    {
        "app-1-0-0": {
            "image.name": "ghcr.io/acme/app/tmp",
            "containerimage.digest": DIGEST,
            "containerimage.descriptor": {"mediaType": "a/b", "digest": DIGEST, "size": 5, "platform": {"os": "linux"}},
            "buildx.build.provenance": {"invocation": {"parameters": {"args": {}}}},
        },
        "buildx.build.warnings": [],
    },
    {"image.name": "a,b", "containerimage.digest": DIGEST},
)
BAKE = (
    {
        "group": {"default": {"targets": ["app"]}},
        "target": {"app": {"tags": ["ghcr.io/acme/app:1"], "platforms": ["linux/amd64"], "inherits": ["base"]}},
    },
)
DOCKER = (
    {
        "auths": {"ghcr.io": {"auth": "dTpw"}, "https://index.docker.io/v1/": {"identitytoken": "x"}},
        "credHelpers": {"a.example": "x"},
        "credsStore": "",
    },
)
SUMMARIES = (
    {
        "format": 2,
        "exit_code": 0,
        "targets": [
            {
                "uid": "app",
                "image_name": "app",
                "version": "1",
                "state": "published",
                "digest": DIGEST,
                "platforms": ["linux/amd64"],
                "platform_digests": {"linux/amd64": DIGEST},
                "tags": ["ghcr.io/acme/app:1"],
                "destinations": [
                    {"repository": "ghcr.io/acme/app", "state": "published", "tags": [{"tag": "1", "previous": DIGEST}]}
                ],
            }
        ],
    },
)
EVENTS = (
    {"time": "2026-01-01T00:00:00Z", "event": "TagMoved", "target": "app", "reference": "ghcr.io/acme/app:1",
     "digest": DIGEST, "previous": DIGEST},
    {"time": "2026-01-01T00:00:00Z", "event": "RunStarted", "doing": "publish", "targets": []},
    {"time": "2026-01-01T00:00:00Z", "event": "RunFinished", "state": "done", "elapsed_s": 1.5},
)  # fmt: skip
fuzzed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file so deep that no other test takes it for one of Bakery's own."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    return folder / "input.json"


@fuzzed
@given(raw=json_bytes(METADATA))
@example(raw=b'{"a": {"image.name": "a", "containerimage.digest": null, "containerimage.descriptor": 5}}')
@example(raw=b'{"\\ud800": {"image.name": "a"}}')
@example(raw=b'{"a": {"image.name": "A B", "containerimage.digest": "sha256:zz"}}')
def test_build_metadata(file, raw):
    file.write_bytes(raw)
    for flat in (False, True):
        found = value_or_error(partial(read_metadata, [file], flat=flat))
        assert isinstance(found, Metadata | BakeryError)


@fuzzed
@given(raw=json_bytes(BAKE))
@example(raw=b'{"target": {"a": {"inherits": ["a"]}}, "group": {"default": {"targets": ["default"]}}}')
@example(raw=b'{"target": {"a": {"inherits": true}}, "group": {"default": {"targets": true}}}')
def test_a_bake_file(raw):
    found = value_or_error(lambda: read_bake(raw, about="bake.json"))
    if not isinstance(found, BakeryError):
        value_or_error(lambda: plan_bake(found, Metadata((), {}, {}), file="bake.json"))


@fuzzed
@given(text=json_bytes([{"digest": DIGEST, "size": 5, "mediaType": "a/b"}, [{"digest": DIGEST}]]))
@example(text=b"[[[[")
def test_descriptors_of_imagetools_create(text):
    given_text = text.decode(errors="replace")
    value_or_error(lambda: sources_in(given_text, ["ghcr.io/acme/app:1"], Path("/"), about="stdin"))


@fuzzed
@given(raw=json_bytes(DOCKER))
@example(raw=b'{"auths": {"ghcr.io": {"auth": "\xff"}}}')
@example(raw=b'{"auths": {"ghcr.io": {"auth": "OjpcbgA="}}, "credsStore": "../evil"}')
@example(raw=b'{"auths": {"ghcr.io": {"username": "a\\r\\nb", "password": "c"}}}')
def test_the_configuration_of_docker(file, raw):
    file.write_bytes(raw)
    credentials = Credentials(CredentialSources(files=(file,)))
    for repository in (Repository("ghcr.io", "acme/app"), Repository("docker.io", "a/b"), Repository("a.example", "c")):
        value_or_error(partial(asyncio.run, credentials.login_for(repository)))


@fuzzed
@given(raw=json_bytes(SUMMARIES))
@example(raw=b'{"targets": [{"destinations": 5}]}')
@example(raw=b'{"targets": [{"destinations": [{"repository": "a", "tags": 5}], "platform_digests": []}]}')
@example(raw=b'{"targets": [5]}')
@example(raw=b'{"targets": []}')
def test_a_summary(file, raw):
    file.write_bytes(raw)
    page = merged_page([file])
    assert page.text
    value_or_error(lambda: read_known([str(file)], file.parent))
    value_or_error(lambda: read_changes(RollbackRequest(file)))


@fuzzed
@given(lines=json_bytes(EVENTS), more=json_bytes(EVENTS))
@example(lines=b'{"event": 5}', more=b'{"event": "TagMoved", "reference": 5}')
@example(lines=b'{"event": "TagMoved", "reference": "ghcr.io/a:1", "digest": "x", "previous": []}', more=b"\xff")
@example(lines=b'{"event": "RunStarted", "targets": [null]}', more=b"")
def test_a_journal(file, lines, more):
    first = json.dumps(EVENTS[0]).encode()
    file.write_bytes(b"\n".join([first, lines, more]))
    value_or_error(lambda: read_known([str(file)], file.parent))
    value_or_error(lambda: read_changes(RollbackRequest(file)))
    value_or_error(lambda: run_of_journal(file))


PROJECTS = tuple((projects.HERE / name / "bakery.yaml").read_text() for name in projects.NAMES)


@settings(fuzzed, max_examples=settings().max_examples // 2)
@given(text=mutated(PROJECTS, ": - { } [ ] | > & * ! ? # , ' \" %YAML --- ... << \t"))
@example(text="&a [*a]")
@example(text="a: &a\n  <<: *a\n")
@example(text="!!python/object/apply:os.system ['true']")
@example(text="- " * 3000)
@example(text="\ufeffimages: []")
def test_bakery_yaml(tmp_path, text):
    (tmp_path / "bakery.yaml").write_bytes(text.encode(errors="surrogatepass"))
    value_or_error(lambda: load_project(tmp_path))
