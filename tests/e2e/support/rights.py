"""What the API server lets somebody do now: its authorizer learns of changed roles a moment after they were written.

Whoever changes a role and builds on it waits here first. Assumes RBAC.
"""

from __future__ import annotations

from tests.e2e.support.api import Api
from tests.e2e.support.processes import wait_until

_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def service_account(name: str, namespace: str = "kube-system") -> str:
    """The user that a service account is."""
    return f"system:serviceaccount:{namespace}:{name}"


def wait_allowed(api: Api, user: str, verb: str, resource: str, *, allowed: bool = True, **where: str) -> None:
    """Until the user may do this (``pods/binding`` is a subresource), or may no longer where ``allowed`` is False.

    ``where``: ``group``, ``namespace`` and ``name``, if they matter.
    """
    plain, _, subresource = resource.partition("/")
    wanted = {"verb": verb, "resource": plain, "subresource": subresource, **where}
    review = {"spec": {"user": user, "resourceAttributes": wanted}}
    what = f"{user} {'may' if allowed else 'may not'} {verb} {resource}"
    wait_until(lambda: api.post(_REVIEWS, review)["status"]["allowed"] is allowed, what)
