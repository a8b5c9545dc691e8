"""One exception class per thing a caller would do differently."""


class ProcurementError(Exception):
    """Something a person can mend; its text is one line that says what is wrong and what to do."""


class ConfigurationError(ProcurementError):
    """A setting is missing, malformed or contradicts another. Mend the setting."""


class DatabaseUnavailable(ProcurementError):
    """The PostgreSQL database cannot be reached or started. Mend the server, then run again."""


class LakeUnavailable(ProcurementError):
    """The lake's files or its catalog cannot be reached, and waiting did not help. Mend the server, then run again."""


class StackUnavailable(ProcurementError):
    """A server of the stack cannot be fetched, started or reached. Mend what the line says, then `procurement stack up` again."""


class ReferenceError_(ProcurementError):  # noqa: N801 -- the built-in has the plain name
    """Reference tables that cannot be loaded; `problems` has one line per fault, the first of which the message has. Mend the CSV files."""

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class InvalidFile(ProcurementError):
    """A market's file that cannot be used as a whole. The market must send it again."""


class OverLimit(InvalidFile):
    """A market's file that is larger than a setting allows. The market splits it, or the setting is raised: then the same bytes count."""


class NotPermitted(ProcurementError):
    """A folder that the platform has no right to use. Give it that right, then try again."""


class DayBusy(ProcurementError):
    """Another run holds this day. Wait for it; `holder` says who it is."""

    def __init__(self, message: str, holder: str) -> None:
        super().__init__(message)
        self.holder = holder


class LockLost(ProcurementError):
    """The day's lock is gone while the run lives. Nothing was committed; run the day again."""


class InputGone(ProcurementError):
    """Files that a step must read no longer exist (retention, or removed by hand). Nothing was changed."""


class PromiseBroken(ProcurementError):
    """Staged output breaks a blocking promise (schema, uniqueness, conservation). Nothing was committed. `table`: the one concerned."""

    def __init__(self, message: str, table: str = "") -> None:
        super().__init__(message)
        self.table = table


class UnknownOutcome(ProcurementError):
    """A commit whose result is not known. Nothing is cleaned up; look at the table first, then run the day again."""


class QueryRefused(ProcurementError):
    """A SQL file outside the portable subset, or relations that do not fit it."""


class AlertNotDelivered(ProcurementError):
    """No address took an alert. Nothing is remembered as told; it is sent again."""
