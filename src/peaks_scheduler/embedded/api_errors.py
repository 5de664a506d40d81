"""What the embedded API server answers when it refuses: Status objects, worded as kube-apiserver words them.

Owns the texts and reasons of refusals; clients match on both, so they are copied from apimachinery's ``api/errors`` and
the API server's storage layer. Assumes nothing about the transport and never logs: a refusal is an answer.
"""

from __future__ import annotations

from typing import Any

from peaks_scheduler.errors import PeaksError

from .resources import Resource

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results."
)


class ApiError(PeaksError):
    """A request that is answered with a failure. ``status`` is the whole Status object."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            **({"details": details} if details else {}),
            "code": code,
        }


def not_found(resource: Resource, name: str) -> ApiError:
    """404: no object of that name."""
    return ApiError(404, "NotFound", f'{resource.qualified} "{name}" not found', resource.details(name))


def no_such_path() -> ApiError:
    """404: no resource is served at this path."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(resource: Resource, name: str) -> ApiError:
    """409: an object of that name is there already."""
    message = f'{resource.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, resource.details(name))


def conflict(resource: Resource, name: str, why: str, subresource: str = "") -> ApiError:
    """409: the object is in a state that does not allow the request."""
    what = resource.qualified + subresource
    details = {**resource.details(name), "kind": resource.plural + subresource}
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {what} "{name}": {why}', details)


def precondition(resource: Resource, key: str, name: str, what: str, wanted: str, found: str) -> ApiError:
    """409 of a uid or resourceVersion precondition (``what``: "UID" or "ResourceVersion") that did not hold."""
    failed = f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
    why = (
        f"StorageError: invalid object, Code: 4, Key: /{resource.plural}/{key}, ResourceVersion: 0, "
        f"AdditionalErrorMsg: {failed}"
    )
    return conflict(resource, name, why)


def invalid(resource: Resource, name: str, why: str) -> ApiError:
    """422: an object that validation rejects."""
    return ApiError(422, "Invalid", f'{resource.kind} "{name}" is invalid: {why}', resource.details(name))


def bad_request(message: str) -> ApiError:
    """400: a request that cannot be read."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401: no token, or one that is not accepted."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: Resource, verb: str, kind: str) -> ApiError:
    """403: no right; worded as RBAC words it."""
    group = resource.group
    where = f'cannot {verb} resource "{kind}" in API group "{group}" at the cluster scope'
    message = f'{resource.qualified} is forbidden: User "embedded" {where}'
    return ApiError(403, "Forbidden", message, resource.details(""))


def expired(message: str) -> ApiError:
    """410: a resourceVersion or continue token older than what the server remembers."""
    return ApiError(410, "Expired", message)


def by_status(code: int, message: str | None) -> ApiError:
    """The refusal of a fault that a test ordered by its HTTP status."""
    reason, text = _BY_STATUS.get(code, ("Unknown", "an error on the server has prevented the request from succeeding"))
    return ApiError(code, reason, message or text)


_BY_STATUS = {
    401: ("Unauthorized", "Unauthorized"),
    403: ("Forbidden", "forbidden"),
    404: ("NotFound", "the server could not find the requested resource"),
    409: ("Conflict", f"Operation cannot be fulfilled: {MODIFIED}"),
    410: ("Expired", "too old resource version"),
    429: ("TooManyRequests", "too many requests, please try again later"),
    500: ("InternalError", "Internal error occurred: the server was told to fail"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "Timeout: request did not complete within the allotted timeout"),
}
