"""`python -m release`: write the files of a release to dist/. `python -m release wheels`: what an image is built from.

Everything is built twice, in two fresh clones, and compared: what differs was not reproducible and is not released.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from release.git import NotReleasable, git, require_clean
from release.sbom import sbom
from release.wheels import download

ROOT = Path(__file__).resolve().parents[1]


def main(words: list[str]) -> int:
    """Run the command line, and return the exit code."""
    parser = argparse.ArgumentParser(prog="release", description="Make the files of a release.")
    parser.add_argument("what", nargs="?", choices=["all", "wheels"], default="all")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", metavar="DIR", help="default: dist")
    parser.add_argument("--python", default="3.13", metavar="VERSION", help="of the image's base (for wheels)")
    given = parser.parse_args(words)
    try:
        if given.what == "wheels":
            with tempfile.TemporaryDirectory() as folder:
                built = build(ROOT, Path(folder))
                wheel = next(file for file in built if file.suffix == ".whl")
                download(wheel, ROOT / "requirements.lock", given.python, given.output)
        else:
            release(ROOT, given.output)
    except NotReleasable as error:
        print(f"error: cannot make a release: {error}", file=sys.stderr)
        return 1
    return 0


def release(root: Path, output: Path) -> None:
    """Write sdist, wheel, SBOM and SHA256SUMS to `output`, which is emptied first. Raises NotReleasable."""
    require_clean(root)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        first, second = build(root, Path(one)), build(root, Path(two))
        for file, other in zip(first, second, strict=True):
            if file.name != other.name or file.read_bytes() != other.read_bytes():
                raise NotReleasable(f"two builds of {file.name} differ")
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        for file in first:
            shutil.copy(file, output)
    wheel = next(output.glob("*.whl"))
    version = wheel.name.split("-")[1]
    document = sbom((root / "requirements.lock").read_text(), version, wheel.read_bytes(), _commit_time(root))
    (output / f"bakery_images-{version}.cdx.json").write_text(document)
    files = sorted(output.iterdir())
    sums = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    (output / "SHA256SUMS").write_text(sums)
    print(sums, end="")


def build(root: Path, folder: Path) -> list[Path]:
    """Build sdist and wheel of the committed tree in a fresh clone below `folder`, and return them sorted by name."""
    clone, output = folder / "clone", folder / "dist"
    git(root, "clone", "--quiet", "--no-local", str(root), str(clone))
    variables = {**os.environ, "SOURCE_DATE_EPOCH": str(_commit_time(root)), "TZ": "UTC"}
    command = [str(Path(sys.executable).with_name("hatchling")), "build", "--directory", str(output)]
    done = subprocess.run(command, cwd=clone, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotReleasable(f"the build failed: {done.stderr.strip()[-2000:]}")
    return sorted(output.iterdir())


def _commit_time(root: Path) -> int:
    return int(git(root, "log", "-1", "--format=%ct"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
