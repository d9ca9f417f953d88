"""Large projects load quickly: loading and expanding are linear, and cost little more than parsing the text."""

import subprocess
import sys
import time

import pytest
import yaml

from bakery.targets.select import Selection, select
from tests.config import parsing


def project_text(images):
    """Return a large project: per image 10 versions, 2 variants, 2 systems, dependencies, two registries."""
    lines = [
        "repository: {url: github.com/example/big}",
        "registries:", "  - {host: ghcr.io, namespace: big}", "  - {host: docker.io, namespace: big}",
        "images:",
    ]  # fmt: skip
    for image in range(images):
        lines += [
            f"  - name: image-{image:03d}", f"    description: Image number {image}.", "    variants:",
            "      - name: Standard", "        primary: true", "        options:", "          - tool: goss",
            "            wait: 5", "      - name: Minimal", "    versions:",
        ]  # fmt: skip
        for version in range(10):
            lines += [
                f"      - name: 2026.{version + 1:02d}.1+{image}.pro{version}",
                f'        subpath: "2026.{version + 1:02d}"',
                f"        latest: {str(version == 9).lower()}",
                "        dependencies:",
            ]
            for dependency in ("R", "python"):
                lines += [f"          - dependency: {dependency}", "            versions:"]
                lines += [f"              - {number}.5.2" for number in range(3)]
            lines.append("        os:")
            for system, primary in (("Ubuntu 24.04", "true"), ("Ubuntu 22.04", "false")):
                lines += [
                    f"          - name: {system}", f"            primary: {primary}", "            platforms:",
                    "              - linux/amd64", "              - linux/arm64",
                ]  # fmt: skip
    return "\n".join(lines) + "\n"


def test_a_project_of_800_targets_has_800_targets_with_distinct_tags():
    selected = select(parsing.project(project_text(20)), Selection())
    assert len(selected.targets) == 800
    assert selected.problems == ()
    assert len({tag for target in selected.targets for tag in target.references}) == sum(
        len(target.references) for target in selected.targets
    )


@pytest.mark.slow
def test_loading_is_linear():
    def seconds(images):
        text = project_text(images)
        began = time.process_time()
        select(parsing.project(text), Selection())
        return time.process_time() - began

    seconds(10)  # imports
    small, large = min(seconds(25) for _ in range(3)), min(seconds(200) for _ in range(2))
    assert large / small < 8 * 2


@pytest.mark.slow
def test_8000_targets_take_little_more_than_parsing_their_text_and_less_than_300_mebibytes(tmp_path):
    text = project_text(200)
    (tmp_path / "bakery.yaml").write_text(text)
    began = time.process_time()
    yaml.load(text, yaml.CSafeLoader)  # the time that this machine needs now to parse the text into plain values
    peer_s = time.process_time() - began
    code = (
        "import resource, sys; from bakery.cli.main import app\n"
        "try: app(args=['get', 'tags', '--context', sys.argv[1], '--output', 'uid'])\n"
        "finally:\n"
        "  used = resource.getrusage(resource.RUSAGE_SELF)\n"
        # Not ru_maxrss: on Linux a child starts with that of its parent, here a whole test run.
        "  peak = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "  print(used.ru_utime + used.ru_stime, int(peak) // 1024, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    seconds, mebibytes = done.stderr.split()
    assert done.stdout.count('"image-') == 8000
    assert float(seconds) < 2.5 * peer_s
    assert int(mebibytes) < 300
