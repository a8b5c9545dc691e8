"""Trino's errors: which of them may pass, and all of them in the platform's words."""

import re

from trino import exceptions

from procurement_platform.errors import ConfigurationError, LakeUnavailable, ProcurementError, PromiseBroken, QueryRefused
from procurement_platform.texts import shorten
from procurement_platform.transient import trino_passes


class ServerLost(Exception):
    """The connection broke or a gateway answered: whether Trino took the statement is not known."""


class Untrusted(Exception):
    """The server's certificate is not one that is trusted."""


_LOST_QUERY = re.compile(r"^error (404|410|429)\b")
_MEMORY = {"EXCEEDED_LOCAL_MEMORY_LIMIT", "EXCEEDED_GLOBAL_MEMORY_LIMIT", "CLUSTER_OUT_OF_MEMORY"}
_DOES_NOT_FIT = {"NUMERIC_VALUE_OUT_OF_RANGE", "INVALID_CAST_ARGUMENT"}
_NOT_REFUSED = {
    "USER_CANCELED", "ADMINISTRATIVELY_KILLED", "ADMINISTRATIVELY_PREEMPTED", "PERMISSION_DENIED", "DIVISION_BY_ZERO",
    "QUERY_TEXT_TOO_LARGE", "TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND", "CATALOG_NOT_FOUND",
}  # fmt: skip


def is_transient(problem: BaseException) -> bool:
    """Whether an error of Trino, or of reaching it, may be gone a little later. Others are never tried again."""
    match problem:
        case ServerLost() | exceptions.TrinoConnectionError():
            return True
        case exceptions.Http502Error() | exceptions.Http503Error() | exceptions.Http504Error():
            return True
        case exceptions.HttpError():  # a server that was started again does not know the query
            return bool(_LOST_QUERY.search(str(problem)))
        case exceptions.TrinoQueryError():
            return trino_passes(problem.error_name, _causes(problem))
    return False


def explained(name: str, server: str, problem: Exception) -> ProcurementError:
    """An error in the platform's words. `name` is the query's, `server` Trino's address."""
    line = _line(problem)
    if isinstance(problem, Untrusted) and "WRONG_VERSION_NUMBER" in str(problem):
        return ConfigurationError(f"{server} speaks no TLS on this port: correct TRINO_PORT, or unset PROCUREMENT_TRINO_TLS")
    if isinstance(problem, Untrusted):
        return ConfigurationError(f"{server}: its certificate is not trusted: {line}. Name its authority: PROCUREMENT_TRINO_CA")
    if isinstance(problem, exceptions.HttpError) and re.match(r"error 40[13]\b", str(problem)):
        return ConfigurationError(f"{server} does not let this user in ({line}): see PROCUREMENT_TRINO_USER, PROCUREMENT_TRINO_PASSWORD")
    if is_transient(problem):
        return LakeUnavailable(f"{name}: {server} cannot be used: {line}. Mend it, then run again")
    if isinstance(problem, exceptions.TrinoQueryError):
        return _of_query(name, problem, line)
    return ProcurementError(f"{name}: {server}: {line}")


def _of_query(name: str, problem: exceptions.TrinoQueryError, line: str) -> ProcurementError:
    kind = problem.error_name or ""
    if kind in _DOES_NOT_FIT or (kind == "GENERIC_INTERNAL_ERROR" and "overflow" in problem.message):
        return PromiseBroken(f"{name}: a value does not fit its type: {line}")
    if kind in _MEMORY:
        return ProcurementError(
            f"{name}: Trino needs more memory than it may take; raise query.max-memory and query.max-memory-per-node of Trino, or "
            f"PROCUREMENT_STACK_TRINO_MEMORY_MIB where `procurement stack` runs it ({line})"
        )
    if kind == "QUERY_TEXT_TOO_LARGE":
        return ProcurementError(f"{name}: it reads so many files that its text is too long; raise query.max-length of Trino ({line})")
    if problem.error_type == "USER_ERROR" and kind not in _NOT_REFUSED:
        return QueryRefused(f"{name}: {line}")
    return ProcurementError(f"{name}: {kind}: {line}")


def _causes(problem: exceptions.TrinoQueryError) -> str:
    """The message and those of its causes, Java's class names included."""
    said, cause = [problem.message], problem.failure_info
    while cause:
        said += [str(cause.get("type", "")), str(cause.get("message", ""))]
        cause = cause.get("cause")
    return "\n".join(said)


def _line(problem: Exception) -> str:
    text = problem.message if isinstance(problem, exceptions.TrinoQueryError) else str(problem)
    return shorten(text.strip().split("\n", 1)[0], 300)
