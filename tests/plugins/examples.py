"""A project in a temporary directory, and its targets."""

from __future__ import annotations

from pathlib import Path

from bakery.config.load import load_project
from bakery.targets.select import Selection, select
from bakery.targets.target import Target

BAKERY = """
repository: {url: github.com/acme/images, vendor: Acme, maintainer: {name: A, email: a@acme.test}}
registries: [{host: registry.acme.test, namespace: acme}]
images:
  - name: oven
    options: [{tool: goss, wait: 5, command: from image}]
    variants:
      - {name: Standard, extension: std, tagDisplayName: std, primary: true,
         options: [{tool: goss, wait: 0, runtimeOptions: "--privileged --user 0"}]}
    versions:
      - {name: 1.0.0, latest: true, os: [{name: Ubuntu 24.04, primary: true}]}
  - name: plain
    options: [{tool: goss, timeout: 7}]
    versions: [{name: "2.0"}]
"""


def make_project(folder: Path, text: str = BAKERY) -> list[Target]:
    """Write the project with a test directory for each image, and return its targets."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bakery.yaml").write_text(text)
    targets = list(select(load_project(folder), Selection(), environ={}).targets)
    for target in targets:
        version = folder / target.version_path
        version.mkdir(parents=True, exist_ok=True)
        (folder / target.containerfile).parent.mkdir(parents=True, exist_ok=True)
        (folder / target.containerfile).touch()
        (folder / target.image_path / "test").mkdir(exist_ok=True)
    return targets
