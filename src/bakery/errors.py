"""The tree of expected failures, and the exit code that each one means.

Every error says what was being done, about which thing, what the other side answered, and what to do next.
A failure that is not a `BakeryError` is a bug of ours. Exit codes: pipeline.md 5.9.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a `bakery` process answers to the one who started it (pipeline.md 5.9)."""

    DONE = 0
    FAILED = 1  # a target failed, or nothing was selected
    USAGE = 2
    CONFIGURATION = 3  # bakery.yaml or a build metadata file
    AUTHENTICATION = 4  # only when every failure is one
    INTERRUPTED = 130
    TERMINATED = 143


class BakeryError(Exception):
    """An expected failure. Every field is already redacted: it may be logged, shown and put in a report.

    doing: what was tried, in a few words ("reading a manifest"). about: the reference, URL or file.
    answer: what the other side said. hint: what the reader should do next.
    """

    transient: bool = False  # may the same request succeed later?
    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, doing: str, *, about: object = "", answer: str = "", hint: str = "") -> None:
        super().__init__(doing)
        self.doing, self.about, self.answer, self.hint = doing, str(about), answer, hint

    def __str__(self) -> str:
        parts = [f"{self.doing} {self.about}".strip(), self.answer, self.hint and f"Next: {self.hint}"]
        return ". ".join(part.rstrip(".") for part in parts if part)


class UsageError(BakeryError):
    """The command line asks for something that does not exist."""

    exit_code = ExitCode.USAGE


class NothingSelected(BakeryError):
    """The filters and files leave nothing to do, and nothing says that this is wanted."""


class ConfigurationError(BakeryError):
    """bakery.yaml or something it names cannot be used."""

    exit_code = ExitCode.CONFIGURATION


class MetadataError(ConfigurationError):
    """A build metadata file cannot be used (pipeline.md 4)."""


class InvalidContent(BakeryError):
    """Bytes or text that are not what they claim to be. The same bytes will never be valid."""


class BadDigest(InvalidContent):
    """Text that is no digest of an algorithm we know."""


class BadReference(InvalidContent):
    """Text that is no reference to a repository, tag or digest."""


class BadDocument(InvalidContent):
    """JSON that is no manifest, index or descriptor, or that could be read in two ways."""


class DigestMismatch(InvalidContent):
    """Content whose digest or size differs from what its descriptor says."""


class RegistryError(BakeryError):
    """A registry answered, and the answer is a refusal.

    status: HTTP status. code: the OCI error code, such as MANIFEST_UNKNOWN, or "" where the body names none.
    """

    def __init__(
        self, doing: str, *, about: object = "", status: int = 0, code: str = "", answer: str = "", hint: str = ""
    ) -> None:
        super().__init__(doing, about=about, answer=answer or f"{status} {code}".strip(), hint=hint)
        self.status, self.code = status, code


class NotFound(RegistryError):
    """The registry does not have it. Whether that may change, only the caller knows."""


class AuthError(RegistryError):
    """No credentials, or they do not suffice. Asking again changes nothing."""

    exit_code = ExitCode.AUTHENTICATION


class Unavailable(RegistryError):
    """The registry is overloaded, lags, or failed in a way that passes: 408, 429, 5xx and their like.

    retry_after_s: how long the registry asks us to stay away, in seconds, or None.
    """

    transient = True

    def __init__(
        self,
        doing: str,
        *,
        about: object = "",
        status: int = 0,
        code: str = "",
        answer: str = "",
        hint: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(doing, about=about, status=status, code=code, answer=answer, hint=hint)
        self.retry_after_s = retry_after_s


class ConnectionFailed(BakeryError):
    """No usable answer came: refused, reset, timed out, cut short. What was sent may or may not have arrived."""

    transient = True


class BudgetSpent(BakeryError):
    """The time that the run may take is used up."""


class ExecutorInterrupted(BaseException):
    """A signal ended the work. Not an `Exception`, so that no `except Exception` of a job or plugin keeps it going.

    signum: the first signal, 2 or 15. value: what the interrupted work returned all the same, or None.
    """

    def __init__(self, signum: int = 2, value: object = None) -> None:
        super().__init__(f"interrupted by signal {signum}")
        self.signum, self.value = signum, value

    @property
    def exit_code(self) -> ExitCode:
        """130 for SIGINT, 143 for SIGTERM."""
        return ExitCode(128 + self.signum)


class NotBuiltYet(BakeryError):
    """A feature that is named but not there. Nothing was done."""


def one_line(error: BaseException) -> str:
    """The error as one line of text; what is no BakeryError is told as our bug."""
    if isinstance(error, BakeryError):
        return " ".join(str(error).split())
    return f"internal error: {type(error).__name__}: {' '.join(str(error).split())}"
