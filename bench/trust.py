"""Rows about the release as a whole: sets under faults, rollback, and a thousand targets under faults."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench import check, contenders
from bench.contenders import Measured
from bench.scene import Scene, Traffic, environment_for, helper
from bench.workload import BuiltTarget, Shape, build, load

SEEDS = 100
AT_ONCE = 4  # a run mostly waits, and both sides run at the same time
WHOLE = ("--all-or-nothing", "run")
_TYPES = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"


def against_faults(
    rules: str, seed: int, shape: Shape, *options: str, lag_at_sources: bool = False, registries: int = 3
) -> tuple[Measured, Counter[str]]:
    """Measure one run of ours with embedded registries that inject faults. Also return the faults that it met."""
    targets = list(build(shape))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bakery-bench-faults-")))
        helped = stack.enter_context(helper("bench.faulty", rules, seed, registries))
        environment = environment_for(folder, helped.hosts, None)
        if not lag_at_sources:
            asyncio.run(load(helped.hosts[0], targets))
        helped.command("start-faults")
        if lag_at_sources:
            asyncio.run(load(helped.hosts[0], targets))
        result = contenders.ours(Scene(helped.hosts, (), folder, None, environment), targets, *options)
        if result.exit_code:
            result.problems.append(f"seed {seed}: exit {result.exit_code}: {result.output[-600:]}")
        stats = helped.command("stop-faults")
        result.traffic = Traffic(Counter(stats["requests"]))
        readers = [check.Reader(host, environment, None) for host in helped.hosts[1:]]
        some = targets[:: max(1, len(targets) // 20)]
        result.problems += [f"seed {seed}: {problem}" for problem in check.problems(some, readers)]
    return result, Counter(stats["met"])


def median(runs: Sequence[Measured]) -> Measured:
    """Return the median run by time, with the problems of all runs."""
    middle = sorted(runs, key=lambda run: run.wall_s)[len(runs) // 2]
    return replace(middle, problems=[problem for run in runs for problem in run.problems])


def sets_under_faults(seeds: int = SEEDS) -> tuple[Measured, Measured, float, tuple[str, ...]]:
    """Return the median runs without and with --all-or-nothing run, the ratio of their times, and notes."""
    shape = Shape(images=10, layers=2, layer_bytes=300)

    def both(seed: int) -> tuple[tuple[Measured, Counter[str]], tuple[Measured, Counter[str]]]:
        return against_faults("mix", seed, shape), against_faults("mix", seed, shape, *WHOLE)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        pairs = list(pool.map(both, range(seeds)))
    met: Counter[str] = Counter()
    for pair in pairs:
        for _, counts in pair:
            met.update(counts)
    notes = []
    sides = [[pair[side][0] for pair in pairs] for side in (0, 1)]
    for name, runs in zip(("each for itself", "--all-or-nothing run"), sides, strict=True):
        correct, times = sum(not run.problems for run in runs), sorted(run.wall_s for run in runs)
        notes.append(f"{name}: {correct} of {len(runs)} runs correct; {times[0]:.1f} to {times[-1]:.1f} s")
    notes.append("faults met: " + ", ".join(f"{name} {count}" for name, count in met.most_common()))
    apart, whole = (median(runs) for runs in sides)
    means = [statistics.mean(run.wall_s for run in runs) for runs in sides]
    return apart, whole, means[1] / means[0], tuple(notes)


def rollbacks(here: Scene, old: Sequence[BuiltTarget], new: Sequence[BuiltTarget]) -> tuple[Measured, Measured]:
    """Return the script's rollback and ours, of the same release in the same scene."""
    journal = here.folder / "release.jsonl"
    results = list[Measured]()
    _publish(here, old)
    before = _named(here, old)
    for _ in range(2):
        journal.unlink(missing_ok=True)
        _publish(here, new, "--journal", journal)
        after = _named(here, new)
        if not results:
            plan = here.folder / "rollback.tsv"
            lines = ["\t".join((*place, after[place], before[place])) for place in after]
            plan.write_text("\n".join(lines) + "\n")
            results.append(contenders.rollback_script(here, plan))
        else:
            results.append(contenders.rollback(here, journal))
        wrong = {place for place, digest in _named(here, old).items() if digest != before[place]}
        results[-1].problems += [f"{len(wrong)} tags are not restored"] if wrong else []
        if results[-1].exit_code:
            results[-1].problems.append(f"exit {results[-1].exit_code}: {results[-1].output[-600:]}")
    return results[0], results[1]


def _publish(here: Scene, targets: Sequence[BuiltTarget], *options: str | Path) -> None:
    shutil.rmtree(here.folder / "project", ignore_errors=True)
    done = contenders.ours(here, targets, *options)
    if done.exit_code:
        raise SystemExit(f"bench: cannot publish what is to be rolled back: {done.output[-600:]}")


def _named(here: Scene, targets: Sequence[BuiltTarget]) -> dict[tuple[str, str], str]:
    """Return what every tag names, by (repository, tag), read without the relay and without our client."""
    places = [
        (f"{host}/{target.repository}", tag, f"http://{registry.host}/v2/{target.repository}/manifests/{tag}")
        for host, registry in zip(here.destinations, here.registries[1:], strict=True)
        for target in targets
        for tag in target.tags
    ]

    def digest(url: str) -> str:
        request = urllib.request.Request(url, method="HEAD", headers={"Accept": _TYPES})
        with urllib.request.urlopen(request, timeout=30) as response:
            return str(response.headers["Docker-Content-Digest"])

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda place: digest(place[2]), places))
    return {(repository, tag): one for (repository, tag, _), one in zip(places, found, strict=True)}
