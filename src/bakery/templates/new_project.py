"""The first files of a project: a short bakery.yaml with comments, and a Containerfile if the project has none. Pure.

`bakery.app.init` writes them. Source: commands.md 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from bakery.config.names import default_extension
from bakery.config.project import ProjectRegistry
from bakery.config.resolved import scalar

VERSION: Final = "1.0.0"
_SYSTEM: Final = "Scratch"  # what the example is built from: it needs no download and no emulation


class NewProject(Struct, frozen=True):
    """What a new bakery.yaml says. vendor, maintainer: "" leaves them out.

    label_namespace: the prefix of the labels that are not of OCI. in_place: the image is built from the file
    `Containerfile` of the project's own folder; else from the example at `example_path`.
    """

    url: str
    vendor: str
    maintainer: str
    label_namespace: str
    registries: tuple[ProjectRegistry, ...]
    image: str
    in_place: bool = False

    @property
    def example_path(self) -> str:
        """The path of the example's Containerfile, relative to the project."""
        return f"{self.image}/{VERSION}/Containerfile.{default_extension(_SYSTEM)}"


def project_text(new: NewProject) -> str:
    """Return the text of bakery.yaml."""
    return (
        "\n".join([*_head(new), *_registries(new), *(_image_in_place(new) if new.in_place else _example(new))]) + "\n"
    )


def example_containerfile(new: NewProject) -> str:
    """Return the text of a Containerfile that builds for any platform, without a network."""
    return f"""\
# An example: replace it with the steps that build {new.image}. Paths of COPY start at the folder of bakery.yaml.
FROM scratch
COPY bakery.yaml /bakery.yaml
"""


def _head(new: NewProject) -> Iterator[str]:
    yield "# The images of this project and the registries they are published to."
    yield "# `bakery check` reports every problem; `bakery rehearse` tries it with registries inside the command."
    yield "# For checks in an editor: `bakery get schema > bakery.schema.json`, and as the first line of this file"
    yield "#   # yaml-language-server: $schema=bakery.schema.json"
    yield ""
    yield "# Every image has these in its labels."
    yield "repository:"
    yield f"  url: {new.url}"  # a URL has no blanks, so it is a plain scalar
    for key, value, example in (
        ("vendor", new.vendor, "Acme"),
        ("maintainer", new.maintainer, "Images <images@acme.example>"),
    ):
        yield f"  {key}: {scalar(value)}" if value else f"  # {key}: {example}"
    yield f"  labelNamespace: {new.label_namespace} # prefix of the labels that are not of OCI"
    yield ""


def _registries(new: NewProject) -> Iterator[str]:
    yield "# Every image is published to each of these: <host>/<namespace>/<name of the image>."
    yield "registries:"
    for registry in new.registries:
        yield f"  - host: {scalar(registry.host)}"
        if registry.namespace:
            yield f"    namespace: {scalar(registry.namespace)}"
    yield ""


def _example(new: NewProject) -> Iterator[str]:
    yield "images:"
    yield f"  - name: {scalar(new.image)}"
    yield "    versions:"
    yield f"      - name: {VERSION}"
    yield "        latest: true # the tag latest names this version"
    yield "        os:"
    yield f"          - name: {_SYSTEM} # builds {new.example_path}"
    yield "            platforms: [linux/amd64, linux/arm64]"


def _image_in_place(new: NewProject) -> Iterator[str]:
    yield "images:"
    yield f"  - name: {scalar(new.image)}"
    yield "    subpath: . # builds the Containerfile in this folder"
    yield "    versions:"
    yield f"      - name: {VERSION}"
    yield "        subpath: ."
    yield "        latest: true # the tag latest names this version"
    yield "        # Without a system, the platform is linux/amd64. For others, rename the file to"
    yield "        # Containerfile.ubuntu2404 and name its system:"
    yield "        # os:"
    yield "        #   - name: Ubuntu 24.04"
    yield "        #     platforms: [linux/amd64, linux/arm64]"
