"""The imagetools plugin is found by its name and returns one result per target."""

import asyncio
import json
from importlib.metadata import entry_points

import pytest

from bakery.app.publishing import PublishOptions
from bakery.config.load import load_project
from bakery.errors import UsageError
from bakery.oci.reference import Repository
from bakery.plugin_api import GROUP
from bakery.plugins.imagetools import ImagetoolsPlugin
from bakery.rehearsal.embedded import EmbeddedRegistry
from bakery.targets.expand import defined_targets
from bakery.targets.metadata import read_metadata
from tests.engines.workload import add_image, layer

PROJECT = """\
repository: {url: https://github.com/acme/images, vendor: Acme, maintainer: Acme <images@acme.example>}
registries: [{host: "%s", namespace: acme}]
images:
  - name: app
    versions: [{name: "1.0.0", latest: true, os: [{name: Ubuntu 24.04, platforms: [linux/amd64]}]}]
  - name: broken
    versions: [{name: "1.0.0", latest: true, os: [{name: Ubuntu 24.04, platforms: [linux/amd64, linux/arm64]}]}]
"""


def test_it_is_found_by_its_name():
    assert entry_points(group=GROUP)["imagetools"].load() is ImagetoolsPlugin


async def test_it_publishes_and_returns_one_result_per_target(tmp_path, capsys):
    async with EmbeddedRegistry() as registry:
        (tmp_path / "bakery.yaml").write_text(PROJECT % registry.address)
        entries = {}
        for image in ("app", "broken"):
            built = add_image(registry, f"tmp/{image}", "linux/amd64", layers=[layer(image)], salt=image)
            name = str(Repository(registry.address, f"tmp/{image}"))
            entries[f"{image}-1-0-0-ubuntu-24-04"] = {"image.name": name, "containerimage.digest": str(built.digest)}
        (tmp_path / "m.json").write_text(json.dumps(entries))
        targets = defined_targets(load_project(tmp_path))
        plugin = ImagetoolsPlugin()
        results = await asyncio.to_thread(
            plugin.execute, tmp_path, targets, metadata=read_metadata([tmp_path / "m.json"]), environment={}
        )
        assert {result.target.image: result.exit_code for result in results} == {"app": 0, "broken": 1}
        assert set(registry.tags("acme/app")) == {"1.0.0", "1.0.0-ubuntu-24.04", "ubuntu-24.04", "latest"}
        assert registry.tags("acme/broken") == {}
    with pytest.raises(SystemExit):
        plugin.results(results)
    captured = capsys.readouterr()
    assert [one["image_name"] for one in json.loads(captured.out)] == ["app", "broken"]
    assert captured.err.startswith("error[publish/missing-platform]: broken-1-0-0-ubuntu-24-04: [assemble] ")
    assert "linux/arm64" in captured.err


def test_metadata_and_a_known_engine_are_required(tmp_path):
    with pytest.raises(UsageError, match="metadata"):
        ImagetoolsPlugin().execute(tmp_path, [])
    with pytest.raises(UsageError, match="native, cli"):
        PublishOptions(engine="warp")  # type: ignore[arg-type]  # callers need not check types
