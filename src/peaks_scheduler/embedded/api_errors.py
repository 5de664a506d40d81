"""Errors of the embedded API server: Status objects with the reasons and messages of kube-apiserver.

Clients match reasons and messages, so they are copied from apimachinery's ``api/errors`` and from the API server's
storage layer. Knows nothing of HTTP, except its statuses.
"""

from __future__ import annotations

from typing import Any

from peaks_scheduler.errors import PeaksError

from .api_resources import Resource

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results."
)


class ApiError(PeaksError):
    """A request is refused. ``status`` is the whole Status object of the response."""

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
    """404: no object has that name."""
    return ApiError(404, "NotFound", f'{resource.qualified} "{name}" not found', resource.details(name))


def no_such_path() -> ApiError:
    """404: this path is not served."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(resource: Resource, name: str) -> ApiError:
    """409: an object of that name exists."""
    message = f'{resource.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, resource.details(name))


def conflict(resource: Resource, name: str, why: str, subresource: str = "") -> ApiError:
    """409: the state of the object does not allow the request."""
    what = resource.qualified + subresource
    details = {**resource.details(name), "kind": resource.plural + subresource}
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {what} "{name}": {why}', details)


def precondition(resource: Resource, key: str, name: str, what: str, wanted: str, found: str) -> ApiError:
    """409: a precondition does not hold. ``what``: "UID" or "ResourceVersion"."""
    failed = f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
    why = (
        f"StorageError: invalid object, Code: 4, Key: /{resource.plural}/{key}, ResourceVersion: 0, "
        f"AdditionalErrorMsg: {failed}"
    )
    return conflict(resource, name, why)


def invalid(resource: Resource, name: str, why: str) -> ApiError:
    """422: the object is invalid."""
    return ApiError(422, "Invalid", f'{resource.kind} "{name}" is invalid: {why}', resource.details(name))


def bad_request(message: str) -> ApiError:
    """400: the request cannot be parsed."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401: the token is missing or not accepted."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: Resource, verb: str, kind: str) -> ApiError:
    """403: the right is missing; the message is RBAC's."""
    group = resource.group
    where = f'cannot {verb} resource "{kind}" in API group "{group}" at the cluster scope'
    message = f'{resource.qualified} is forbidden: User "embedded" {where}'
    return ApiError(403, "Forbidden", message, resource.details(""))


def expired(message: str) -> ApiError:
    """410: the resourceVersion or continue token is too old."""
    return ApiError(410, "Expired", message)


def by_status(code: int, message: str | None) -> ApiError:
    """The error for an HTTP status that a test ordered as a fault."""
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
