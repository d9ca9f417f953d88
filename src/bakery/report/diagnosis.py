"""What `bakery doctor` found, as values, text and JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any, Final

from msgspec import Struct

from bakery.errors import AuthError, ExitCode, code_of, hint_of, reason
from bakery.report.documents import CheckRecord, DoctorDocument, Health
from bakery.report.records import members
from bakery.text import clean, plural

MARKS: Final = {Health.OK: "ok", Health.WARNING: "warn", Health.FAILED: "FAIL", Health.UNKNOWN: "-"}


class Check(Struct, frozen=True):
    """One check. area: a registry, or "programs" or "this machine". about: what was checked, in a word or two.

    code: of the error, for `bakery explain`. is_authentication: it failed for want of a login or a permission.
    """

    area: str
    about: str
    health: Health
    text: str
    hint: str = ""
    code: str = ""
    is_authentication: bool = False


class Diagnosis(Struct, frozen=True):
    """Every check, in the order in which they are shown; those of one area follow each other."""

    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> ExitCode:
        """0 without a failure, 4 if all failures are about logins and permissions, else 1."""
        failures = [check for check in self.checks if check.health is Health.FAILED]
        if not failures:
            return ExitCode.DONE
        return ExitCode.AUTHENTICATION if all(one.is_authentication for one in failures) else ExitCode.FAILED


def failed(area: str, about: str, error: Exception) -> Check:
    """Return the check that an error ended."""
    is_authentication = isinstance(error, AuthError)
    return Check(area, about, Health.FAILED, reason(error), hint_of(error), code_of(error), is_authentication)


def diagnosis_text(found: Diagnosis) -> str:
    """Return the checks for people, by area, with hints below failures, and a closing line."""
    lines: list[str] = []
    width = max((len(check.about) for check in found.checks), default=0)
    for area, checks in groupby(found.checks, key=lambda check: check.area):
        lines += ["", area] if lines else [area]
        for check in checks:
            code = f" [{check.code}]" if check.code else ""
            lines.append(f"  {MARKS[check.health]:<4}  {check.about:<{width}}  {check.text}{code}".rstrip())
            lines += [f"        {'':<{width}}  hint: {check.hint}"] if check.hint else []
    return "".join(f"{clean(line)}\n" for line in [*lines, "", _closing(found.checks)])


def diagnosis_json(found: Diagnosis) -> dict[str, Any]:
    """Return the checks as a JSON value."""
    checks = (
        CheckRecord(
            area=check.area,
            about=check.about,
            health=check.health,
            text=clean(check.text),
            hint=clean(check.hint) or None,
            code=check.code or None,
        )
        for check in found.checks
    )
    return members(DoctorDocument(exit_code=int(found.exit_code), checks=tuple(checks)))


def _closing(checks: Iterable[Check]) -> str:
    counts = {health: sum(check.health is health for check in checks) for health in Health}
    bad, doubtful = counts[Health.FAILED], counts[Health.WARNING]
    if not bad and not doubtful:
        return f"no problem in {plural(counts[Health.OK], 'check')}"
    parts = [plural(bad, "problem")] if bad else []
    return ", ".join([*parts, *([plural(doubtful, "warning")] if doubtful else [])])
