"""Every error Plancton raises, each with the exit code it ends a tick with.

Exit codes are those of sysexits.h. A message is one line: where, which key or object, what was
expected, what was found. The hint says what to do now.
"""

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 69
EXIT_OSERR = 71
EXIT_TEMPFAIL = 75
EXIT_CONFIG = 78


class PlanctonError(Exception):
    """Base of all errors; never raised itself."""

    exit_code: int = EXIT_TEMPFAIL

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        if type(self) is PlanctonError:
            raise TypeError("raise a child of PlanctonError, not PlanctonError itself")
        super().__init__(message)
        self.message = message
        self.hint = hint
        # The faults of a configuration that was read, before this happened.
        self.faults: tuple[str, ...] = ()

    def words(self) -> str:
        """Return the message, with the hint behind it if there is one."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(PlanctonError):
    """The configuration is bad. ``faults`` holds one line for each fault, in file order."""

    exit_code = EXIT_CONFIG

    def __init__(self, faults: tuple[str, ...], *, hint: str | None = None) -> None:
        super().__init__("\n".join(faults), hint=hint)
        self.faults = faults


class HostError(PlanctonError):
    """The host's kernel files cannot be read."""

    exit_code = EXIT_OSERR


class EngineUnavailableError(PlanctonError):
    """The engine cannot be reached, timed out, or answered what no engine answers."""

    exit_code = EXIT_UNAVAILABLE


class ManagerUnavailableError(PlanctonError):
    """There is no systemd here, or no bus to talk to it, or it does not answer."""

    exit_code = EXIT_UNAVAILABLE


class ManagerRefusedError(PlanctonError):
    """systemd answered, and refused this one request."""

    exit_code = EXIT_TEMPFAIL


class EngineRefusedError(PlanctonError):
    """The engine answered, and refused this one request."""

    exit_code = EXIT_TEMPFAIL


class NotFoundError(EngineRefusedError):
    """The container or volume is not there (any more)."""


class ImageMissingError(EngineRefusedError):
    """The engine does not have the pilot's image."""


class PullError(EngineRefusedError):
    """An image could not be pulled: no such image, no right to it, registry down or silent."""


class RequestError(PlanctonError):
    """A request for an image cannot be left, read or removed in the runtime folder."""

    exit_code = EXIT_TEMPFAIL


class ConflictError(EngineRefusedError):
    """The object is not in the state the request is for: another tick, or the pilot, was first."""


class NameTakenError(ConflictError):
    """A container of that name exists already: the slot is claimed."""


class TraceError(PlanctonError):
    """A record of the owner's load cannot be read, or does not tell what is asked of it."""

    exit_code = EXIT_USAGE


class ToolMissingError(PlanctonError):
    """What was asked for needs a program or a library that is not installed here."""

    exit_code = EXIT_UNAVAILABLE


class ExportError(PlanctonError):
    """Figures cannot be written or sent to where they are wanted."""

    exit_code = EXIT_TEMPFAIL


class LostRaceError(PlanctonError):
    """Another tick or operator changed the ledger first. No fault: the next tick is the retry."""

    exit_code = EXIT_OK
