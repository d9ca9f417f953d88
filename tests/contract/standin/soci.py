"""Stands in for the real soci where it is not installed: its command line, our own converter behind it.

That the bytes are the real tool's is shown by the golden cases of the soci room; here only the way there is tested.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bakery.errors import BakeryError
from bakery.oci import manifest as views
from bakery.oci.manifest import Index
from bakery.oci.platform import Platform
from bakery.soci.convert import convert
from bakery.soci.failure import LayerUnsupported
from bakery.soci.index import LayerIndex, LayerIndexer
from bakery.soci.options import DEFAULT_MIN_LAYER_SIZE, DEFAULT_SPAN_SIZE, SociSettings
from bakery.soci.plan import plan_conversion
from bakery.transfer.layout import open_layout
from bakery.transfer.layout_writer import LayoutWriter

REAL_IDENTIFIER = "AWS SOCI CLI v0.2"


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write("soci version v0.11.1 0000000\n")
        return
    parser = argparse.ArgumentParser(prog="soci")
    parser.add_argument("verb", choices=["convert"])
    parser.add_argument("--standalone", action="store_true", required=True)
    parser.add_argument("--format", choices=["oci-dir"], required=True)
    parser.add_argument("--platform", action="append", default=[])
    parser.add_argument("--all-platforms", action="store_true")
    parser.add_argument("--span-size", type=int, default=DEFAULT_SPAN_SIZE)
    parser.add_argument("--min-layer-size", type=int, default=DEFAULT_MIN_LAYER_SIZE)
    parser.add_argument("--prefetch-file", action="append", default=[])
    parser.add_argument("--optimizations", action="append", default=[])
    parser.add_argument("source", type=Path)
    parser.add_argument("result", type=Path)
    asked = parser.parse_args()
    options = SociSettings(
        span_size=asked.span_size,
        min_layer_size=asked.min_layer_size,
        prefetch_files=tuple(asked.prefetch_file),
        optimizations=tuple(asked.optimizations),
        platforms=tuple(Platform.parse(text) for text in asked.platform),
        build_tool_identifier=REAL_IDENTIFIER,
    )
    with open_layout(asked.source) as source:
        listed = source.top().manifests
        if len(listed) != 1:
            sys.exit("soci: manifest should have proper platform")
        root = listed[0].bare()
        raw = source.document(root)
        assert raw is not None
        documents = {root.digest: raw}
        index = views.parse(raw, media_type=root.media_type, about=root.digest)
        assert isinstance(index, Index)
        for entry in index.manifests:
            child = source.document(entry)
            if child is not None:
                documents[entry.digest] = child
        plan = plan_conversion(root, documents, options)
        results: dict[object, LayerIndex | BakeryError] = {}
        for work in plan.layers:
            settings = options
            indexer = LayerIndexer(
                work.compression, settings, about=str(work.descriptor.digest), size=work.descriptor.size
            )
            try:
                for chunk in source.read(work.descriptor):
                    indexer.feed(chunk)
                results[work.descriptor.digest] = indexer.finish()
            except LayerUnsupported as error:
                results[work.descriptor.digest] = error
        converted = convert(plan, results)  # type: ignore[arg-type] # keys are digests
        if not converted.changed:
            sys.exit("soci: no ztocs created, all layers either skipped or produced errors")
        with LayoutWriter(asked.result) as writer:
            for entry in index.manifests:
                manifest = views.parse(documents[entry.digest], media_type=entry.media_type, about=entry.digest)
                assert not isinstance(manifest, Index)
                writer.write(entry.bare(), [documents[entry.digest]])
                for blob in manifest.blobs:
                    writer.write(blob.bare(), source.read(blob))
            for descriptor, raw in converted.contents.items():
                writer.write(descriptor.bare(), [raw])
            writer.commit(converted.root.descriptor)


main()
