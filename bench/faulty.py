"""Embedded registries with faults, in a separate process: `python -m bench.faulty RULES SEED [COUNT]`, by default 3.

RULES names a set below. The process prints the addresses as one line of JSON, then reads commands from stdin:
`start-faults` puts the rules in force and resets the counts, `stop-faults` removes the rules (for the reader). Each
command prints the faults that clients met and the requests by method. The process ends with stdin.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from contextlib import AsyncExitStack

from bakery.rehearsal import EmbeddedRegistry
from bakery.rehearsal.faults import Cut, Drop, Effect, Lag, Refuse, Rule, Stale, When

BUSY = Refuse(503)
LIMIT = Refuse(429, "TOOMANYREQUESTS", headers=(("Retry-After", "1"),))


def _rule(name: str, effect: Effect, *, probability: float = 1.0, when: When = When.ARRIVAL) -> Rule:
    return Rule(name=name, effect=effect, probability=probability, when=effect.only or when)


RULES: dict[str, tuple[Rule, ...]] = {
    "none": (),
    "lag": (_rule("lag", Lag(4.0)),),
    "one percent": (
        _rule("5xx", BUSY, probability=0.004),
        _rule("reset", Drop(), probability=0.003),
        _rule("lost response", Drop(), probability=0.002, when=When.COMMIT),
        _rule("cut body", Cut(), probability=0.001),
    ),
    "mix": (
        _rule("lag", Lag(2.0)),
        _rule("stale tag", Stale(2.0)),
        _rule("5xx", BUSY, probability=0.02),
        _rule("429", LIMIT, probability=0.01),
        _rule("reset", Drop(), probability=0.02),
        _rule("lost response", Drop(), probability=0.01, when=When.COMMIT),
        _rule("cut body", Cut(), probability=0.02),
    ),
}


async def main(rules: str, seed: int, count: int) -> None:
    async with AsyncExitStack() as stack:
        registries = [
            await stack.enter_async_context(EmbeddedRegistry(seed=10 * seed + number)) for number in range(count)
        ]
        print(json.dumps([registry.address for registry in registries]), flush=True)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            match line.strip():
                case b"start-faults":
                    for registry in registries:
                        registry.forget_requests()
                        for rule in RULES[rules]:
                            registry.fault(
                                then=rule.effect, name=rule.name, probability=rule.probability, after=rule.when.value
                            )
                case b"stop-faults":
                    for registry in registries:
                        registry.clear_faults()
            print(json.dumps(_stats(registries)), flush=True)


def _stats(registries: list[EmbeddedRegistry]) -> dict[str, dict[str, int]]:
    met: Counter[str] = Counter()
    requests: Counter[str] = Counter()
    for registry in registries:
        met.update(registry.faults_met)
        requests.update(request.method for request in registry.requests)
    return {"met": dict(met), "requests": dict(requests)}


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal ends the bench, which ends this process
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 3))
