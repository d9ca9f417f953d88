"""Hypothesis profiles: how many generated examples a run of the tests tries.

`default` draws new examples on each run. `ci` tries three times as many and always the same ones, so that a change
fails only for what it changed; it prints what reproduces a failure. `quick` is for `make fast` and `make mutants`.
Hypothesis selects `ci` by itself when the variable CI is set; `--hypothesis-profile` selects any of them.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

_USUAL = 100

# No deadline: on a busy machine a slow example says nothing about the code. `too_slow` is left out for the same reason.
_COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", _COMMON, max_examples=_USUAL)
settings.register_profile("ci", _COMMON, max_examples=3 * _USUAL, derandomize=True, database=None, print_blob=True)
settings.register_profile("quick", _COMMON, max_examples=_USUAL // 5, derandomize=True, database=None)


def examples(usual: int) -> int:
    """Return how many examples the active profile tries when the default profile tries `usual`."""
    return max(1, usual * settings().max_examples // _USUAL)
