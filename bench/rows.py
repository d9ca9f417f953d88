"""The rows of the table: the work, the distance and the contenders."""

from __future__ import annotations

import asyncio
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tests.peers.registries import Certificate, RealRegistry
from tests.peers.tokens import TokenService, token_service

from bench import building, check, contenders, images, trust
from bench.contenders import Measured
from bench.scene import KIND, Scene, environment_for, relay, scene, start, storage
from bench.workload import BuiltTarget, Shape, build, load

Contender = Callable[[Scene, Sequence[BuiltTarget]], Measured]
ROUND_TRIP_S = 0.040
TINY = Shape(images=20, layers=2, layer_bytes=300)
CONVERTED = Shape(images=4, layers=1, layer_bytes=187_000_000, files=1400)  # 60 MB gzipped
BIG = Shape(images=4, layers=3, layer_bytes=24_000_000)


@dataclass(frozen=True)
class Row:
    """One row of the table. peer: the contender to compare with, which may be ours under other conditions."""

    name: str
    what: str
    goal: str
    peer: Measured | None
    ours: Measured | None
    ratio: float | None = None
    notes: tuple[str, ...] = ()


@contextmanager
def loaded(
    shape: Shape, tokens: TokenService | None = None, *, tls: bool = False
) -> Iterator[tuple[RealRegistry, list[BuiltTarget], Path]]:
    """Start a temporary registry with every build in it, and create a folder for the row."""
    folder = Path(tempfile.mkdtemp(prefix="bakery-bench-", dir=storage()))
    try:
        certificate = Certificate.issue(folder / "certificate") if tls else None
        with start(KIND, folder / "source", tokens, certificate) as source:
            targets = list(build(shape))
            headers = {"Authorization": f"Bearer {tokens.token(*source_scopes(targets))}"} if tokens else None
            asyncio.run(load(source.host, targets, headers=headers, certificate=certificate))
            yield source, targets, folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def source_scopes(targets: Sequence[BuiltTarget]) -> list[str]:
    return sorted({f"repository:{target.source_repository}:pull,push" for target in targets})


def once(
    contender: Contender,
    source: RealRegistry,
    targets: Sequence[BuiltTarget],
    folder: Path,
    *,
    round_trip_s: float | None,
    tokens: TokenService | None = None,
    read_back: Sequence[BuiltTarget] | None = None,
    converted: bool = False,
) -> Measured:
    """Measure one run with empty destinations, then read back all targets, or only those of `read_back`."""
    place = Path(tempfile.mkdtemp(dir=folder))
    with scene(source, place, round_trip_s=round_trip_s, tokens=tokens) as here:
        requests_before = len(tokens.requests) if tokens else 0
        cpu_before = sum(cpu_s(one) for one in here.registries)
        result = contender(here, targets)
        result.registry_cpu_s = sum(cpu_s(one) for one in here.registries) - cpu_before
        if tokens:
            result.token_requests = len(tokens.requests) - requests_before
        if here.relay:
            result.traffic = here.relay.traffic()
        if result.exit_code:
            result.problems.append(f"exit {result.exit_code}: {result.output[-600:]}")
        environment = environment_for(
            here.folder / "reader", [one.host for one in here.registries], tokens, source.certificate
        )
        readers = [check.Reader(one.host, environment, one, tokens is not None) for one in here.registries[1:]]
        result.problems += check.problems(targets if read_back is None else read_back, readers, converted=converted)
    shutil.rmtree(place, ignore_errors=True)
    return result


def cpu_s(registry: RealRegistry) -> float:
    """Return the CPU seconds that the process of a registry has used (proc(5), stat, fields 14 and 15)."""
    fields = Path(f"/proc/{registry.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def side_by_side(
    source: RealRegistry,
    targets: Sequence[BuiltTarget],
    folder: Path,
    *,
    round_trip_s: float | None,
    repeat: int,
    peer: Contender = contenders.script,
    own_way: Contender = contenders.ours,
) -> tuple[Measured, Measured]:
    """Measure peer and ours alternately, so that a slow minute of the machine affects both."""
    peers, own = [], []
    for _ in range(repeat):
        peers.append(once(peer, source, targets, folder, round_trip_s=round_trip_s))
        own.append(once(own_way, source, targets, folder, round_trip_s=round_trip_s))
    result = trust.median(peers), trust.median(own)
    if round_trip_s is None:  # no relay counted the traffic: run once more, without measuring time
        for measured, contender in zip(result, (peer, own_way), strict=True):
            measured.traffic = once(contender, source, targets, folder, round_trip_s=0).traffic
    return result


def compared(
    name: str, what: str, goal: str, shape: Shape, *, round_trip_s: float | None, repeat: int, tls: bool = False
) -> Row:
    with loaded(shape, tls=tls) as (source, targets, folder):
        peer, own = side_by_side(source, targets, folder, round_trip_s=round_trip_s, repeat=repeat)
    notes = []
    if peer.traffic and own.traffic and own.traffic.requests:
        share = own.traffic.requests.total() / peer.traffic.requests.total()
        notes.append(f"requests: {share:.0%} of the script's (goal: at most 70 %)")
    notes.append(f"CPU: {own.cpu_s / peer.cpu_s:.2f} of the script's")
    return Row(name, what, goal, peer, own, peer.wall_s / own.wall_s, tuple(notes))


def tiny_40ms(repeat: int) -> Row:
    what = "20 targets x 2 platforms x 2 registries x 4 tags, tiny layers, 40 ms round trip; peer: script"
    return compared("tiny-40ms", what, "ratio at least 4", TINY, round_trip_s=ROUND_TRIP_S, repeat=repeat)


def tiny_40ms_tls(repeat: int) -> Row:
    what = "tiny-40ms over TLS; peer: script"
    return compared("tiny-40ms-tls", what, "ratio at least 6", TINY, round_trip_s=ROUND_TRIP_S, repeat=repeat, tls=True)


def tiny_150ms_tls(repeat: int) -> Row:
    what = "tiny targets over TLS, 150 ms round trip; peer: script"
    return compared("tiny-150ms-tls", what, "", TINY, round_trip_s=0.150, repeat=repeat, tls=True)


def big_tls(repeat: int) -> Row:
    what, goal = "big over TLS; peer: script", "ratio at least 1.5, at most half of the CPU"
    return compared("big-tls", what, goal, BIG, round_trip_s=None, repeat=repeat, tls=True)


def tiny_40ms_tools(repeat: int) -> Row:
    del repeat  # takes minutes: once is enough
    with loaded(TINY) as (source, targets, folder):
        peer = once(contenders.pipeline, source, targets, folder, round_trip_s=ROUND_TRIP_S)
        own = once(contenders.ours, source, targets, folder, round_trip_s=ROUND_TRIP_S)
    what = "the same, compared with the pipeline of oras commands"
    return Row("tiny-40ms-tools", what, "", peer, own, peer.wall_s / own.wall_s)


def tiny_40ms_cli(repeat: int) -> Row:
    """Compare our pipeline, using the cli engine, with a script of the same oras commands."""
    del repeat
    with loaded(TINY) as (source, targets, folder):
        peer = once(contenders.pipeline, source, targets, folder, round_trip_s=ROUND_TRIP_S)
        own = once(contenders.ours_cli, source, targets, folder, round_trip_s=ROUND_TRIP_S)
    what = "tiny-40ms with --engine cli, compared with the pipeline of oras commands"
    return Row("tiny-40ms-cli", what, "ratio at least 2", peer, own, peer.wall_s / own.wall_s)


def tiny_near(repeat: int) -> Row:
    what = "the same without an added round trip; peer: script"
    return compared("tiny-near", what, "ratio at least 2.5", TINY, round_trip_s=None, repeat=repeat)


def versions_40ms(repeat: int) -> Row:
    what = "20 targets in 4 repositories (tags in push order), 40 ms; peer: script, unordered"
    shape = Shape(images=4, versions=5, layers=TINY.layers, layer_bytes=TINY.layer_bytes)
    return compared("versions-40ms", what, "", shape, round_trip_s=ROUND_TRIP_S, repeat=repeat)


def big(repeat: int) -> Row:
    what = "4 targets x 2 platforms x 3 layers of 24 MB x 2 registries; peer: script"
    return compared("big", what, "ratio at least 1.25", BIG, round_trip_s=None, repeat=repeat)


def soci(repeat: int) -> Row:
    """Compare conversions of every layer. The reader checks the result as far as both name the same layers."""
    what = "4 targets x 2 platforms x a layer of 60 MB x 2 registries, SOCI enabled; peer: pipeline of oras and soci"
    peers, own = [], []
    with loaded(CONVERTED) as (source, targets, folder):
        for _ in range(repeat):
            peers.append(once(contenders.pipeline_soci, source, targets, folder, round_trip_s=None, converted=True))
            own.append(once(contenders.ours_soci, source, targets, folder, round_trip_s=None, converted=True))
    peer, mine = trust.median(peers), trust.median(own)
    return Row("soci", what, "ratio at least 3", peer, mine, peer.wall_s / mine.wall_s)


def auth(repeat: int) -> Row:
    """Compare ours with bearer tokens on all three registries with ours without."""
    with ExitStack() as stack:
        source, targets, folder = stack.enter_context(loaded(TINY))
        plain = [once(contenders.ours, source, targets, folder, round_trip_s=ROUND_TRIP_S) for _ in range(repeat)]
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bakery-bench-tokens-")))
        tokens = stack.enter_context(token_service(place))
        far = stack.enter_context(relay(ROUND_TRIP_S, [tokens.realm.split("/")[2]]))
        tokens.realm = f"http://{far.hosts[0]}/token"
        source, targets, folder = stack.enter_context(loaded(TINY, tokens))
        with_tokens = [
            once(contenders.ours, source, targets, folder, round_trip_s=ROUND_TRIP_S, tokens=tokens)
            for _ in range(repeat)
        ]
    without, own = trust.median(plain), trust.median(with_tokens)
    repositories = 3 * len({target.image for target in targets})
    return Row(
        "auth-40ms",
        "tiny-40ms with bearer tokens on all three registries; peer: ours without",
        "ours with tokens at most 1.3 times ours without",
        without,
        own,
        own.wall_s / without.wall_s,
        (f"{own.token_requests} token requests for {repositories} repositories",),
    )


def thousand(repeat: int) -> Row:
    """Measure ours with 250, 500 and 1,000 targets: time, requests and memory per target."""
    del repeat
    notes, last, first = [], None, None
    for count in (250, 500, 1000):
        with loaded(Shape(images=count // 5, versions=5, layers=TINY.layers, layer_bytes=TINY.layer_bytes)) as (
            source,
            targets,
            folder,
        ):
            last = once(
                contenders.ours, source, targets, folder, round_trip_s=0, read_back=targets[:: max(1, count // 20)]
            )
        first = first or last
        requests = last.traffic.requests.total() if last.traffic else 0
        notes.append(
            f"{count} targets: {last.wall_s:.1f} s; per target {1000 * last.wall_s / count:.1f} ms"
            f" and {requests / count:.1f} requests; {last.peak_bytes / 2**20:.0f} MiB"
        )
    return Row("thousand", "250, 500 and 1,000 targets", "linear, under 300 MiB", None, last, None, tuple(notes))


def lag(repeat: int) -> Row:
    """Reads return 404 for 4 s after a write on all registries, including the source, which was just pushed to."""
    shape = Shape(images=6, layers=TINY.layers, layer_bytes=TINY.layer_bytes)
    runs = [trust.against_faults("lag", seed, shape, lag_at_sources=True) for seed in range(repeat)]
    own = trust.median([run for run, _ in runs])
    slowest = max(run.wall_s for run, _ in runs)
    notes = (f"slowest of {len(runs)}: {slowest:.1f} s; reads that met the lag: {runs[0][1]['lag']} in the first run",)
    return Row(
        "lag-4s", "6 targets, every read returns 404 for 4 s after a write", "at most 15 s", None, own, None, notes
    )


def faults(repeat: int) -> Row:
    """Measure ours with a mix of faults and a hundred seeds, each target for itself and the run as a whole."""
    del repeat
    apart, whole, ratio, notes = trust.sets_under_faults()
    what = "10 targets; lag 2 s, 2 % 5xx, 1 % 429, 2 % resets, 1 % lost responses, 2 % cut bodies; 100 seeds each way"
    goal = "100 of 100 correct, also with --all-or-nothing run, in at most 1.15 times the time"
    return Row("faults", what, goal, apart, whole, ratio, notes)


def rollback(repeat: int) -> Row:
    """Compare a rollback of 800 tags with a script of regctl commands."""
    del repeat  # a publish before every rollback: once is enough
    shape = Shape(images=100, layers=1, layer_bytes=300)
    with loaded(shape) as (source, new, folder):
        old = list(build(replace(shape, layer_bytes=200)))
        asyncio.run(load(source.host, old))
        with scene(source, folder / "scene", round_trip_s=ROUND_TRIP_S) as here:
            peer, own = trust.rollbacks(here, old, new)
    what = "800 tags of 100 targets in 2 registries go back, 40 ms; peer: regctl image digest and copy, 8 at a time"
    return Row("rollback", what, "at most a tenth of the script's time", peer, own, peer.wall_s / own.wall_s)


def thousand_faults(repeat: int) -> Row:
    """Measure ours with 1,000 targets, three destinations and 1 % of faults."""
    del repeat
    shape = Shape(images=200, versions=5, layers=2, layer_bytes=300)
    own, met = trust.against_faults("one percent", 1, shape, registries=4)
    notes = (
        f"{own.peak_bytes / 2**20:.0f} MiB",
        "faults met: " + ", ".join(f"{name} {count}" for name, count in met.most_common()),
    )
    what = "1,000 targets to three registries; 1 % of all requests fail"
    return Row("thousand-faults", what, "done, under 300 MiB", None, own, None, notes)


def first_request_s(place: Path, environment: Mapping[str, str]) -> float:
    """Return the time from the start of `bakery publish` to its first connection."""
    digests = place / "digests"
    digests.mkdir(exist_ok=True)
    (digests / ("0" * 64)).touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        repository = f"127.0.0.1:{server.getsockname()[1]}/acme/app"
        command = [str(contenders.BAKERY), "publish", "--digests", str(digests), "--from", repository]
        began = time.perf_counter()
        process = subprocess.Popen([*command, "--tag", f"{repository}:1"], env=environment, stderr=subprocess.DEVNULL)
        try:
            server.accept()[0].close()
            return time.perf_counter() - began
        finally:
            process.kill()
            process.wait()


def start_up(repeat: int) -> Row:
    """Measure the start of `bakery --help` and `bakery version`, and that of a publish up to its first request."""
    notes = []
    slowest: Measured | None = None
    with tempfile.TemporaryDirectory(prefix="bakery-bench-start-") as place:
        environment = environment_for(Path(place), [], None)
        for arguments in (["--help"], ["version"]):
            runs = [
                contenders.measure("ours", [contenders.BAKERY, *arguments], environment, Path(place))
                for _ in range(max(5, 3 * repeat))
            ]
            middle = trust.median(runs)
            times = statistics.median(run.wall_s for run in runs)
            notes.append(f"bakery {arguments[0]}: {times:.3f} s")
            if slowest is None or middle.wall_s > slowest.wall_s:
                slowest = middle
        first = statistics.median(first_request_s(Path(place), environment) for _ in range(max(5, 3 * repeat)))
        notes.append(f"bakery publish, to its first request: {first:.3f} s (goal: under 0.2 s)")
    return Row("start-up", "bakery --help, bakery version", "under 0.25 s", None, slowest, None, tuple(notes))


def without_project(repeat: int, *, count: int, goal: str) -> Row:
    """Compare with buildx, without a bakery.yaml, and measure the time to the first request."""
    with loaded(replace(TINY, images=count)) as (source, built, folder):
        targets = [images.FiveTags(one.image, one.version, one.builds) for one in built]
        peer, own = side_by_side(
            source, targets, folder, round_trip_s=ROUND_TRIP_S, repeat=repeat, peer=images.buildx,
            own_way=images.create if count == 1 else images.bake,
        )  # fmt: skip
        first_s = statistics.median(images.first_request_s(folder / f"first-{n}") for n in range(max(5, repeat)))
    notes = [f"from the start to the first request: {first_s:.3f} s (goal: under 0.2 s)"]
    if peer.traffic and own.traffic:
        notes.append(f"requests: {own.traffic.requests.total() / peer.traffic.requests.total():.0%} of buildx's")
    what = f"{count} x 2 platforms x 2 registries x 5 tags, 40 ms, no bakery.yaml; peer: buildx imagetools create"
    return Row(f"images-{count}", what, goal, peer, own, peer.wall_s / own.wall_s, tuple(notes))


def build_row(repeat: int) -> Row:
    """Compare `bakery build` with the bare `buildx bake` of the same plan."""
    peers, own, told, preflights = building.contest(repeat)
    peer, mine = trust.median(peers), trust.median(own)
    ratio = peer.wall_s / mine.wall_s
    notes = (
        f"ours takes {1 / ratio:.2f} times as long (goal: at most 1.1)",
        building.overhead_note(own, told, preflights),
    )
    mine.problems += [problem for run in told for problem in run.problems]
    what = f"{building.TARGETS} trivial targets, built and pushed by digest; peer: buildx bake of the same plan"
    return Row("build", what, "at most 1.1 times as long", peer, mine, ratio, notes)


ROWS: dict[str, Callable[[int], Row]] = {
    "start-up": start_up,
    "big-tls": big_tls,
    "tiny-40ms-tls": tiny_40ms_tls,
    "tiny-150ms-tls": tiny_150ms_tls,
    "tiny-40ms": tiny_40ms,
    "tiny-near": tiny_near,
    "versions-40ms": versions_40ms,
    "big": big,
    "soci": soci,
    "auth-40ms": auth,
    "lag-4s": lag,
    "faults": faults,
    "thousand": thousand,
    "build": build_row,
    "thousand-faults": thousand_faults,
    "rollback": rollback,
    "images-1": partial(without_project, count=1, goal="ratio at least 2, at most 80 % of the requests"),
    "images-20": partial(without_project, count=20, goal="ratio at least 6"),
    "tiny-40ms-tools": tiny_40ms_tools,
    "tiny-40ms-cli": tiny_40ms_cli,
}


def run(name: str, repeat: int) -> tuple[Row, float]:
    """Return a row and how many seconds it took to measure."""
    started = time.perf_counter()
    return ROWS[name](repeat), time.perf_counter() - started
