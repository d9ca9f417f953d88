"""The golden cases, and a conversion of one in memory, with the steps that a caller with a layout takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.errors import BakeryError
from bakery.oci.canonical import parse_object
from bakery.oci.descriptor import Descriptor
from bakery.oci.digest import Digest
from bakery.oci.platform import Platform
from bakery.soci.convert import Converted, convert
from bakery.soci.index import LayerIndex, LayerIndexer
from bakery.soci.options import SociSettings
from bakery.soci.plan import missing_documents, plan_conversion

GOLDEN = Path(__file__).parent / "golden"
REAL_TOOL = "AWS SOCI CLI v0.2"


@dataclass(frozen=True)
class Case:
    """One case of cases.json."""

    name: str
    data: Mapping[str, Any]

    @property
    def layout(self) -> Path:
        return GOLDEN / str(self.data["input"])

    @property
    def sound(self) -> bool:
        return bool(self.data["sound"])

    @property
    def options(self) -> SociSettings:
        given = self.data["options"]
        return SociSettings(
            given["span_size"],
            given["min_layer_size"],
            tuple(given.get("prefetch_files", ())),
            tuple(given.get("optimizations", ())),
            tuple(Platform.parse(text) for text in given.get("platforms", ())),
            REAL_TOOL,
        )

    @property
    def expected_index(self) -> Mapping[str, Any] | None:
        """Return the correct index, if there is exactly one."""
        if "ours_index" in self.data:
            return dict(self.data["ours_index"])
        return dict(self.data["expected"]["index"]) if self.sound else None


def _read() -> dict[str, Case]:
    cases = json.loads((GOLDEN / "cases.json").read_text())["cases"]
    return {case["name"]: Case(case["name"], case) for case in cases}


CASES = _read()


def blob(layout: Path, digest: Digest) -> bytes | None:
    file = layout / "blobs" / digest.algorithm / digest.hex
    return file.read_bytes() if file.exists() else None


def root_of(layout: Path) -> Descriptor:
    return Descriptor.from_json(parse_object((layout / "index.json").read_bytes())["manifests"][0])


def convert_in_memory(
    root: Descriptor, read: Callable[[Digest], bytes | None], options: SociSettings, *, chunk: int = 1 << 16
) -> Converted:
    """Take all the steps of a caller, without I/O."""
    documents: dict[Digest, bytes | None] = {}
    while wanted := missing_documents(root, documents):
        documents |= {descriptor.digest: read(descriptor.digest) for descriptor in wanted}
    plan = plan_conversion(root, documents, options)
    results: dict[Digest, LayerIndex | BakeryError] = {}
    for work in plan.layers:
        content = read(work.descriptor.digest) or b""
        try:
            indexer = LayerIndexer(
                work.compression,
                options,
                about=f"layer {work.descriptor.digest}",
                size=work.descriptor.size,
            )
            for start in range(0, len(content), chunk):
                indexer.feed(content[start : start + chunk])
            results[work.descriptor.digest] = indexer.finish()
        except BakeryError as error:
            results[work.descriptor.digest] = error
    return convert(plan, results)


def converted(case: Case, **changes: Any) -> Converted:
    return convert_in_memory(root_of(case.layout), lambda digest: blob(case.layout, digest), case.options, **changes)
