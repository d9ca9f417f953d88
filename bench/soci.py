"""`python -m bench.soci [--scale S] [--folder DIR]`: compare SOCI conversion with the original tool and inflating.

One gzip layer of about 450 MB (1.4 GB of tar, 11,000 entries), two such layers at once, and one of 60,000 small
entries. Every row is a separate process: wall time, CPU time, peak memory; rows `in process` are timed inside, without
start-up. `--scale 0.1` makes the big layers ten times smaller. `--folder` keeps the images.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median

from tests.peers.programs import find

from bench.contenders import Measured, measure
from bench.layers import gzipped, system_tar

ROUNDS = 3
BIG_ENTRIES = 11_000
SMALL_ENTRIES = 60_000
BIG_TAR_BYTES = 1_400_000_000
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

BARE = """
import sys, time, zlib
started = time.perf_counter()
inflater = zlib.decompressobj(31)
with open(sys.argv[1], "rb") as file:
    while chunk := file.read(1 << 16):  # larger pieces are slower: Python's zlib grows one output for each
        inflater.decompress(chunk)
print(time.perf_counter() - started)
"""
INDEX = """
import sys, threading, time
from bakery.soci.index import GZIP, LayerIndexer
def index(path):
    indexer = LayerIndexer(GZIP)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            indexer.feed(chunk)
    indexer.finish()
threads = [threading.Thread(target=index, args=(path,)) for path in sys.argv[1:]]
started = time.perf_counter()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(time.perf_counter() - started)
"""


def small_tar(seed: int) -> Iterator[bytes]:
    """Yield a tar with 60,000 files of a few bytes."""
    generator = random.Random(seed)
    for number in range(SMALL_ENTRIES):
        data = generator.randbytes(generator.randrange(8)).hex().encode()
        member = tarfile.TarInfo(f"app/node_modules/module{number % 1009}/lib/file{number}.js")
        member.size, member.mtime, member.uname = len(data), 1_700_000_000 + number % 5000, "root"
        yield member.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)
    yield bytes(1024)


def write_layout(path: Path, layers: list[Callable[[], Iterator[bytes]]]) -> list[Path]:
    """Write an image with these layers for one platform, unless it exists. Return the files of the layers."""
    if (path / "layers.json").exists():
        return [Path(name) for name in json.loads((path / "layers.json").read_text())]
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes, media_type: str) -> dict[str, object]:
        name = hashlib.sha256(content).hexdigest()
        (blobs / name).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(content)}

    described, files = [], []
    for chunks in layers:
        hasher, partial = hashlib.sha256(), blobs / "partial"
        with partial.open("wb") as file:
            for piece in gzipped(chunks()):
                hasher.update(piece)
                file.write(piece)
        files.append(partial.rename(blobs / hasher.hexdigest()))
        size = files[-1].stat().st_size
        described.append({"mediaType": _LAYER, "digest": f"sha256:{hasher.hexdigest()}", "size": size})
    config = blob(b'{"architecture":"amd64","os":"linux"}', "application/vnd.oci.image.config.v1+json")
    manifest = {"schemaVersion": 2, "config": config, "layers": described}
    top = blob(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    (path / "layers.json").write_text(json.dumps(list(map(str, files))))
    return files


def digest_of(path: Path) -> str:
    """Return the digest of the image in a layout."""
    return str(json.loads((path / "index.json").read_text())["manifests"][0]["digest"])


class Bench:
    """Measures rows and prints each at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._soci = find("soci")

    def run(self, name: str, *command: object, compared: Measured | None = None) -> Measured:
        """Run one process and print its row. If it prints a number, that is the time in seconds."""
        words = list(map(str, command))
        done = measure("row", words, {**os.environ, "TZ": "UTC"}, self._folder)
        if done.exit_code:
            raise SystemExit(f"{' '.join(words)} exited with {done.exit_code}: {done.output}")
        with suppress(ValueError):
            done.wall_s = float(done.output)
        times = f"{done.wall_s / compared.wall_s:.1f} times ours" if compared else ""
        peak_mib = done.peak_bytes / 2**20
        print(f"{name:<58}{done.wall_s:>8.2f} s{done.cpu_s:>8.2f} s CPU{peak_mib:>7.0f} MiB  {times}", flush=True)
        return done

    def inflate(self, layer: Path) -> Measured:
        return self.run("  bare inflating with Python's zlib, in process", sys.executable, "-c", BARE, layer)

    def index(self, name: str, *layers: Path) -> Measured:
        return self.run(f"  ours: {name}, in process", sys.executable, "-c", INDEX, *layers)

    def convert(self, source: Path) -> Measured:
        """Convert from layout to layout with both tools, which must produce the same image."""
        to, theirs = self._folder / "ours", self._folder / "theirs"
        bakery = [Path(sys.executable).parent / "bakery", "imagetools", "soci-convert"]
        options = ["--build-tool-identifier", "AWS SOCI CLI v0.2", "--min-layer-size", "0"]
        name = "  ours: soci-convert, layout to layout"
        done = self.run(name, *bakery, "--from-layout", source, "--to-layout", to, *options)
        if self._soci is not None:
            command = [self._soci, "convert", "--standalone", "--format", "oci-dir", "--all-platforms"]
            name = "  soci convert --standalone, layout to layout"
            self.run(name, *command, "--min-layer-size", "0", source, theirs, compared=done)
            if digest_of(to) != digest_of(theirs):
                raise SystemExit(f"image differs from the original tool's: {digest_of(to)}, {digest_of(theirs)}")
        for path in (to, theirs):
            shutil.rmtree(path, ignore_errors=True)
        return done


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.soci", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the big layers; 1 means 1.4 GB of tar")
    parser.add_argument("--folder", type=Path, help="keep the images in this folder (default: a temporary one)")
    arguments = parser.parse_args()
    size = int(BIG_TAR_BYTES * arguments.scale)
    with tempfile.TemporaryDirectory(prefix="bakery-bench-") as temporary:
        folder = arguments.folder or Path(temporary)
        names = {"one": [1], "two": [1, 2]}
        images = {
            name: write_layout(
                folder / f"{name}-{size}", [partial(system_tar, seed, size, BIG_ENTRIES) for seed in seeds]
            )
            for name, seeds in names.items()
        }
        small = write_layout(folder / "small", [partial(small_tar, 3)])
        for path in (*images["one"], *images["two"], *small):  # so that both tools read from memory, not from the disk
            with path.open("rb") as file:
                hashlib.file_digest(file, "sha256")
        bench = Bench(Path(temporary))
        one = images["one"]
        print(f"one layer of {one[0].stat().st_size / 1e6:.0f} MB, {BIG_ENTRIES} entries")
        bare = bench.inflate(one[0])
        index = bench.index("index", one[0])
        ours = bench.convert(folder / f"one-{size}")
        print(f"  wall time relative to bare inflating (at most 2): index {index.wall_s / bare.wall_s:.2f},", end=" ")
        print(f"convert {ours.wall_s / bare.wall_s:.2f}")
        print(f"two such layers, {os.cpu_count()} CPUs")
        gains = []
        for _ in range(ROUNDS):  # alternately: the speed of the machine changes between rows
            both = bench.index("index both at once", *images["two"])
            single = bench.index("index one of them", images["two"][0])
            gains.append(2 * single.wall_s / both.wall_s)
        bench.convert(folder / f"two-{size}")
        shown = ", ".join(f"{gain:.2f}" for gain in sorted(gains))
        print(f"  throughput: {median(gains):.2f} times that of one layer (at least 1.7); rounds: {shown}")
        print(f"one layer of {small[0].stat().st_size / 1e6:.1f} MB, {SMALL_ENTRIES} entries")
        bench.inflate(small[0])
        bench.index("index", small[0])
        bench.convert(folder / "small")
    return 0


if __name__ == "__main__":
    sys.exit(main())
