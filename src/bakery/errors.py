"""The errors that Bakery raises, and the exit code of each.

    BakeryError                  an expected failure                                        exit 1
    ├── UsageError               the command line names something that does not exist      exit 2
    ├── NothingSelected          filters and files leave nothing to do
    ├── ConfigurationError       bakery.yaml, or a file it names, is invalid                exit 3
    │   ├── MetadataError        a build metadata file is invalid
    │   └── RecordError          a summary or journal of a run is invalid
    ├── InvalidContent           bytes or text are not what they claim to be
    │   ├── BadDigest
    │   ├── BadReference
    │   ├── BadDocument
    │   └── DigestMismatch
    ├── RegistryError            a registry refused a request
    │   ├── NotFound
    │   ├── AuthError                                                                       exit 4
    │   └── Unavailable          overload or lag; transient
    ├── ConnectionFailed         no usable response; transient
    └── BudgetSpent              the time budget of the run is exceeded
    ExecutorInterrupted          a signal ended the work (a BaseException)                  exit 129, 130, 131, 143

Rooms derive their own errors from these when a caller acts on the difference. Any other exception is a bug in Bakery.
Each class has a code, which its messages show and `bakery explain` explains (bakery.catalogue). Some of its errors may
have a code of their own.
Exit codes: pipeline.md 5.9.
"""

from __future__ import annotations

from enum import IntEnum
from errno import EMFILE, ENFILE, ENOSPC
from typing import NamedTuple

from bakery.text import clean

TOO_MANY_FILES = "the limit of open files is reached (ulimit -n)"
RAISE_FILES = "raise that limit, for example with ulimit -n 1024, or run fewer jobs with --jobs"


class ExitCode(IntEnum):
    """The exit code of a `bakery` process (pipeline.md 5.9)."""

    DONE = 0
    FAILED = 1  # a target failed, or nothing was selected
    USAGE = 2
    CONFIGURATION = 3  # bakery.yaml, build metadata, or another file that the command works on
    AUTHENTICATION = 4  # only when every failure is an authentication failure
    HUNG_UP = 129  # 128 and the number of the signal, as for the next three
    INTERRUPTED = 130
    QUIT = 131
    TERMINATED = 143


class BakeryError(Exception):
    """An expected failure. Every field is already redacted: it may be logged, shown and written to a report.

    what: what failed, in a few words ("cannot read manifest"). about: the reference, URL or file, appended to `what`.
    why: the reason, such as the registry's response. hint: one imperative sentence, the user's next step.
    error_code: the code of this error, if its class has errors of several codes.
    `str()` gives "what about: why"; the hint is shown on a line of its own (`message`).
    """

    error_code: str = "run/failed"  # of the catalogue
    transient: bool = False  # may the same request succeed later?
    multiline: bool = False  # is its text composed of several lines, each cleaned?
    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, what: str, *, about: object = "", why: str = "", hint: str = "", error_code: str = "") -> None:
        super().__init__(what)
        self.what, self.about, self.why, self.hint = what, str(about), why, hint
        if error_code:
            self.error_code = error_code

    def __str__(self) -> str:
        return ": ".join(part for part in (f"{self.what} {self.about}".strip(), self.why.rstrip(".")) if part)


class UsageError(BakeryError):
    """The command line names something that does not exist."""

    error_code = "usage/invalid"
    exit_code = ExitCode.USAGE


class NothingSelected(BakeryError):
    """The filters and files leave nothing to do, and no option allows that."""

    error_code = "project/nothing-selected"


class ConfigurationError(BakeryError):
    """bakery.yaml, or a file it names, cannot be used."""

    error_code = "project/invalid"
    exit_code = ExitCode.CONFIGURATION
    multiline = True


class MetadataError(ConfigurationError):
    """A build metadata file cannot be used (pipeline.md 4)."""

    error_code = "metadata/invalid"


class RecordError(ConfigurationError):
    """A summary or a journal that a run left cannot be used."""

    error_code = "record/invalid"


class InvalidContent(BakeryError):
    """Bytes or text are not what they claim to be. The same bytes will never be valid."""

    error_code = "content/invalid"


class BadDigest(InvalidContent):
    """Text is not a digest of a known algorithm."""

    error_code = "content/digest"


class BadReference(InvalidContent):
    """Text is not a reference to a repository, tag or digest."""

    error_code = "content/reference"


class BadDocument(InvalidContent):
    """JSON is not a manifest, index or descriptor, or can be read in two ways."""

    error_code = "content/document"


class DigestMismatch(InvalidContent):
    """Content has another digest or size than its descriptor says."""

    error_code = "content/mismatch"


class RegistryError(BakeryError):
    """A registry responded and refused the request.

    status: HTTP status. code: the OCI error code, such as MANIFEST_UNKNOWN, or "" if the body has none.
    """

    error_code = "registry/refused"

    def __init__(
        self,
        what: str,
        *,
        about: object = "",
        status: int = 0,
        code: str = "",
        why: str = "",
        hint: str = "",
        error_code: str = "",
    ) -> None:
        why = why or f"{status} {code}".strip()
        super().__init__(what, about=about, why=why, hint=hint, error_code=error_code)
        self.status, self.code = status, code


class NotFound(RegistryError):
    """The registry does not have the content. Only the caller knows whether that may change."""

    error_code = "registry/not-found"


class AuthError(RegistryError):
    """Credentials are missing or insufficient. Retrying does not help."""

    error_code = "auth/denied"
    exit_code = ExitCode.AUTHENTICATION


class Unavailable(RegistryError):
    """The registry is overloaded, lags, or failed temporarily: 408, 429, 5xx and similar.

    retry_after_s: the wait that the registry requests, in seconds, or None.
    """

    error_code = "registry/unavailable"
    transient = True

    def __init__(
        self,
        what: str,
        *,
        about: object = "",
        status: int = 0,
        code: str = "",
        why: str = "",
        hint: str = "",
        error_code: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(what, about=about, status=status, code=code, why=why, hint=hint, error_code=error_code)
        self.retry_after_s = retry_after_s


class ConnectionFailed(BakeryError):
    """No usable response: refused, reset, timed out or cut short. The request may or may not have arrived."""

    error_code = "network/connection"
    transient = True


class BudgetSpent(BakeryError):
    """The time budget of the run is exceeded."""

    error_code = "run/time-budget"


class ExecutorInterrupted(BaseException):
    """A signal ended the work. Not an `Exception`, so that no `except Exception` of a job or plugin swallows it.

    signum: the first signal: 1, 2, 3 or 15. value: what the interrupted work returned nevertheless, or None.
    """

    def __init__(self, signum: int = 2, value: object = None) -> None:
        super().__init__(f"interrupted by signal {signum}")
        self.signum, self.value = signum, value

    @property
    def exit_code(self) -> ExitCode:
        """129 for SIGHUP, 130 for SIGINT, 131 for SIGQUIT, 143 for SIGTERM."""
        return ExitCode(128 + self.signum)


def message(error: BaseException) -> str:
    """Return the error as shown to a user: `error[<code>]: <what failed>: <why>`, then `hint: <next step>`."""
    lines = isinstance(error, BakeryError) and error.multiline
    text = clean(str(error), lines=True) if lines else reason(error)
    hint = hint_of(error)
    return f"error[{code_of(error)}]: {text}" + (f"\nhint: {hint}" if hint else "")


def code_of(error: BaseException) -> str:
    """Return the code of the error in the catalogue."""
    if isinstance(error, BakeryError):
        return error.error_code
    return _of_system(error).code


def reason(error: BaseException) -> str:
    """Return the error as one line, without its hint. Other errors than ours and the system's are shown as bugs."""
    text = str(error) if isinstance(error, BakeryError) else _of_system(error).text
    return " ".join(clean(text).split())


def hint_of(error: BaseException) -> str:
    """Return the user's next step, or ""."""
    if isinstance(error, BakeryError):
        return " ".join(clean(error.hint).split())
    return _of_system(error).hint


def limit_of_files(error: BaseException) -> bool:
    """Return whether an error means that too many files are open."""
    return isinstance(error, OSError) and error.errno in (EMFILE, ENFILE)


class _Shown(NamedTuple):
    """How an error that is not a BakeryError is shown."""

    code: str
    text: str
    hint: str = ""


def _of_system(error: BaseException) -> _Shown:
    """Return how to show a failure of the system that no caller expected: a limit, a disk, a file. Others are bugs."""
    if limit_of_files(error):
        return _Shown("system/limit", TOO_MANY_FILES, RAISE_FILES)
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        why = "cannot start a thread: the limit of processes and threads is reached (ulimit -u, or a pids limit)"
        return _Shown("system/limit", why, "raise that limit, or run fewer jobs with --jobs")
    if isinstance(error, BlockingIOError):  # of a fork; no stream of ours is read without waiting
        why = "cannot start a process: the limit of processes and threads is reached (ulimit -u, or a pids limit)"
        return _Shown("system/limit", why, "raise that limit, or run fewer jobs with --jobs")
    if isinstance(error, MemoryError):
        return _Shown("system/limit", "out of memory", "allow more memory, or run fewer jobs with --jobs")
    named = isinstance(error, OSError) and isinstance(error.filename, str) and error.strerror
    if isinstance(error, OSError) and error.errno == ENOSPC:
        what = f"cannot write {error.filename}" if named else "cannot write"
        hint = "free some space, then run the same command again"
        return _Shown("run/failed", f"{what}: no space left on device", hint)
    if isinstance(error, OSError) and named:
        return _Shown("run/failed", f"cannot use {error.filename}: {error.strerror}", "check its path and permissions")
    hint = "set BAKERY_DEBUG=1, run the command again, and report the traceback"
    return _Shown("run/internal", f"internal error: {type(error).__name__}: {error}", hint)


def one_line(error: BaseException) -> str:
    """Return the error as one line, with the hint of a BakeryError in brackets."""
    hint = f" (hint: {hint_of(error)})" if isinstance(error, BakeryError) and error.hint else ""
    return f"{reason(error)}{hint}"
