"""A write on its way to the API server, and the ways in which it can end.

Owns the vocabulary that the senders (``kept_connections``, ``proxied``) share with ``transport``. Never sends anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from peaks_scheduler.tls import explain_tls_error

JSON = "application/json"
FENCED_TIMEOUT = 8.0
"""[s] for a request with a fence. The fence closes 7 s after the last renewal of the Lease, and 15 s after it another
replica may lead: until then ours has been answered, or given up and discarded."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request with a body."""

    method: str
    path: str
    """Encoded, as the server sees it."""
    content_type: str
    body: bytes
    within: float
    """[s] for all of it."""
    fence: Callable[[], bool] | None = None
    """Called at the moment of sending; if it returns False nothing is sent. Between the decision to send and the first
    byte the event loop runs other tasks, and the process may be suspended for a minute."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    """Names in any case."""
    body: bytes


class OutgoingError(OSError):
    """There is no whole answer. The message says why; so may the cause."""


class NotSentError(OutgoingError):
    """No connection was opened: nothing was sent."""


class FencedOffError(OutgoingError):
    """The fence was closed at the moment of sending: nothing was sent."""


class NoAnswerError(OutgoingError):
    """Sent, and no whole answer came back. ``status``: that of the answer that broke off; 0 if none had begun."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def failure_words(error: Exception) -> str:
    """Why a request was not answered."""
    if explanation := explain_tls_error(error):
        return explanation
    return str(error) if isinstance(error, OutgoingError) else f"{type(error).__name__}: {str(error) or 'time is up'}"
