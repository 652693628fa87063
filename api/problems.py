"""Errors as clients see them: RFC 9457 problems. The only table of statuses.

`type` is a reference relative to the service, `/api/docs/errors#{code}`, and leads to the code's explanation. A problem
never carries a stack trace, an SQL text or a secret: what is not listed here is a 500 with a request id, and logged.
"""

import re
from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any, Final

import asyncpg
import msgspec
import structlog
from asyncpg.exceptions._base import DataError as UnsendableError
from litestar import Request
from litestar.exceptions import HTTPException, SerializationException, ValidationException
from litestar.types import ExceptionHandlersMap

from api.answers import Answer
from models import guard
from models.errors import (
    DomainError,
    Invalid,
    NotAllowed,
    NotFound,
    PaymentDeclined,
    Throttled,
    Unauthenticated,
    WrongState,
)
from models.outbox import origin

log = structlog.get_logger(__name__)

PROBLEM_JSON: Final = "application/problem+json"
ERRORS_PAGE: Final = "/api/docs/errors"
RETRY_AFTER_S: Final = 2
"""How long a client should wait when PostgreSQL is away: a failover takes seconds."""

CATEGORIES: Final[dict[type[DomainError], int]] = {
    Invalid: 422,
    Unauthenticated: 401,
    NotAllowed: 403,
    NotFound: 404,
    WrongState: 409,
    PaymentDeclined: 402,
    Throttled: 429,
}


class Kind(msgspec.Struct, frozen=True):
    """One code: its status, and what it means whenever it appears."""

    code: str
    status: int
    title: str


EDGE: Final = {
    kind.code: kind
    for kind in (
        Kind("bad_request", 400, "The request cannot be understood."),
        Kind("malformed_json", 400, "The body is not JSON."),
        Kind("method_not_allowed", 405, "There is something at this path, but not for this method."),
        Kind("payload_too_large", 413, "The body is larger than we take."),
        Kind("unsupported_media_type", 415, "The body's Content-Type is not one we take here."),
        Kind("job_cancelled", 409, "The job was cancelled before it began."),
        Kind("refused_by_provider", 422, "A provider said no, and will say so again."),
        Kind("rate_limited", 429, "Too many requests; Retry-After says when to come back."),
        Kind("internal_error", 500, "Our mistake. The request id helps us to find it."),
        Kind("outcome_unknown", 500, "It may have been written or not: look before repeating it."),
        Kind("job_failed", 502, "The job was tried as often as it may be, and given up."),
        Kind("unavailable", 503, "Nothing was written; try again after Retry-After."),
    )
}
"""Codes that no rule of the domain has: they come from HTTP, from jobs, or from our own failure."""
_HTTP_CODES: Final = {
    400: "bad_request",
    401: "token_invalid",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    503: "unavailable",
}


_DEAD: Final = {"attempts_exhausted", "internal_error", "payload_unreadable", "time_limit", "unreachable"}
"""What `tasks` writes when a job is given up for no reason of the caller's."""


class FieldProblem(msgspec.Struct, frozen=True):
    """What is wrong with one field: its path in the body, or its name in path or query."""

    field: str
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457, with our `code` for programs and the request's id for us."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None
    errors: list[FieldProblem] | msgspec.UnsetType = msgspec.UNSET
    decline_code: str | msgspec.UnsetType | None = msgspec.UNSET
    provider_code: str | msgspec.UnsetType = msgspec.UNSET


def _tree(root: type[DomainError]) -> Iterator[type[DomainError]]:
    yield root
    for below in root.__subclasses__():
        yield from _tree(below)


def kinds() -> dict[str, Kind]:
    """Every code there is, the domain's first. A domain error's title is its docstring."""
    domain = {
        error.code: Kind(error.code, status, " ".join((error.__doc__ or "").split("\n\n")[0].split()))
        for category, status in CATEGORIES.items()
        for error in _tree(category)
    }
    return {**domain, **EDGE}


_KINDS: Final = kinds()
_STRANGE: Final = re.compile(r"Object (?:missing required|contains unknown) field `(.+)`", re.DOTALL)
_KEY: Final = re.compile(r"(.+) - at `key` in `\$\.?(.*)`", re.DOTALL)
_ABSENT: Final = re.compile(r"Missing required (?:query parameter|header|cookie) '([^']+)' for .+", re.DOTALL)


def problem(
    code: str,
    detail: str,
    *,
    errors: list[FieldProblem] | None = None,
    decline_code: str | msgspec.UnsetType | None = msgspec.UNSET,
    provider_code: str | msgspec.UnsetType = msgspec.UNSET,
    headers: Mapping[str, str] | None = None,
) -> Answer[Problem]:
    """The response for a code. A code that nobody declared is our mistake, and says so."""
    kind = _KINDS.get(code, EDGE["internal_error"])
    extra = {"WWW-Authenticate": "Bearer"} if kind.status == 401 else {}
    return Answer(
        Problem(
            type=f"{ERRORS_PAGE}#{kind.code}",
            title=kind.title,
            status=kind.status,
            detail=detail,
            code=kind.code,
            request_id=origin().request_id,
            errors=errors or msgspec.UNSET,
            decline_code=decline_code,
            provider_code=provider_code,
        ),
        status_code=kind.status,
        media_type=PROBLEM_JSON,
        headers={**extra, **(headers or {})},
    )


def job_problem(code: str, detail: str, *, decline_code: str | None = None) -> Answer[Problem]:
    """The response for a job that ended badly: a rule's own status, 502 for a dead one, else a provider refused."""
    if code in _DEAD:
        return problem("job_failed", detail)
    if code not in _KINDS:
        return problem("refused_by_provider", detail, provider_code=code)
    declined = _KINDS[code].status == CATEGORIES[PaymentDeclined]
    return problem(code, detail, decline_code=decline_code if declined else msgspec.UNSET)


def answer_domain(_: Request[Any, Any, Any], error: DomainError) -> Answer[Problem]:
    """A rule said no."""
    return problem(
        error.code,
        error.detail,
        errors=[FieldProblem(error.field, error.detail)] if error.field else None,
        decline_code=error.decline_code if isinstance(error, PaymentDeclined) else msgspec.UNSET,
        headers={"Retry-After": str(ceil(error.retry_after_s))} if isinstance(error, Throttled) else None,
    )


def answer_validation(_: Request[Any, Any, Any], error: ValidationException) -> Answer[Problem]:
    """Fields that are missing, unknown, of the wrong type or out of bounds."""
    found: Any = error.extra if isinstance(error.extra, list) else []
    errors = [FieldProblem(_path(one), _message(one)) for one in found]
    if absent := _ABSENT.fullmatch(error.detail):  # a query that lacks what it must have comes as one sentence
        errors = [FieldProblem(absent[1], f"`{absent[1]}` is missing.")]
    return problem("invalid", "The request has invalid fields." if errors else error.detail, errors=errors)


def _path(error: Mapping[str, Any]) -> str:
    """A field's path as the client wrote it: Litestar calls the whole body `data`, msgspec puts paths in messages."""
    key = str(error.get("key", ""))
    key = "" if key == "data" else key
    # Of a field that is absent, or that nobody declared, msgspec's path is that of the object around it.
    message = str(error["message"])
    if of_key := _KEY.fullmatch(message):
        return ".".join(part for part in (key, of_key[2]) if part)
    strange = _STRANGE.fullmatch(message)
    return ".".join(part for part in (key, strange[1]) if part) if strange else key


def _message(error: Mapping[str, Any]) -> str:
    """What is wrong. Of a body that is not there Litestar only says what it would have called it."""
    message = str(error["message"])
    if of_key := _KEY.fullmatch(message):
        return of_key[1]
    return "Send a JSON object." if message == repr("data") else message


def answer_malformed(_: Request[Any, Any, Any], error: SerializationException) -> Answer[Problem]:
    """A body that is no JSON."""
    return problem("malformed_json", f"The body is not JSON: {error}.")


def answer_http(_: Request[Any, Any, Any], error: HTTPException) -> Answer[Problem]:
    """What Litestar itself refuses: routes, methods, sizes."""
    if error.status_code not in _HTTP_CODES:
        return answer_unexpected(_, error)
    code = _HTTP_CODES[error.status_code]
    return problem(code, error.detail or _KINDS[code].title, headers=_kept(error.headers))


def _kept(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {name: value for name, value in (headers or {}).items() if name.lower() in ("allow", "retry-after")}


def answer_unsendable(_: Request[Any, Any, Any], error: Exception) -> Answer[Problem]:
    """A value that no column takes: a null byte, a number beyond 64 bits. Fields should say so; this is the net."""
    log.warning("request.unsendable_value", error=type(error).__name__)
    return problem("invalid", "The request has a value that cannot be stored.")


def answer_unavailable(_: Request[Any, Any, Any], error: Exception) -> Answer[Problem]:
    """PostgreSQL is away. Whatever was open is rolled back, so nothing was written."""
    log.warning("database.away", error=type(error).__name__)
    return problem("unavailable", "The database cannot be reached.", headers={"Retry-After": str(RETRY_AFTER_S)})


def answer_outcome_unknown(_: Request[Any, Any, Any], error: Exception) -> Answer[Problem]:
    """PostgreSQL went away between our COMMIT and its answer: nobody can say whether it was written."""
    log.error("database.outcome_unknown", error=str(error))
    return problem("outcome_unknown", "The database went away as it was about to confirm. Look before you repeat this.")


def answer_unexpected(_: Request[Any, Any, Any], error: Exception) -> Answer[Problem]:
    """Our mistake: logged whole, told without any of it."""
    log.error("request.failed", exc_info=error)
    return problem("internal_error", "Something went wrong on our side.")


EXCEPTION_HANDLERS: Final[ExceptionHandlersMap] = {
    DomainError: answer_domain,
    ValidationException: answer_validation,
    SerializationException: answer_malformed,
    HTTPException: answer_http,
    # Both of asyncpg's: its own refusal to encode is an InterfaceError too, and must not look like an outage.
    asyncpg.DataError: answer_unsendable,
    UnsendableError: answer_unsendable,
    **dict.fromkeys(guard.LOST_CONNECTION, answer_unavailable),
    guard.OutcomeUnknown: answer_outcome_unknown,
    Exception: answer_unexpected,
}
"""Litestar looks an exception up by its classes, the nearest first."""
