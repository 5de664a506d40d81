"""Every error this package raises on purpose.

    PeaksError
    ├── ConfigurationError        wrong option, configuration or file: exit 2
    │   └── PowerModelError       a power model file that cannot be used
    ├── QuantityError             text that is no Kubernetes quantity
    ├── ObjectError               an API object without what every such object has
    ├── ModelFitError             a curve could not be fitted: samples or arguments that make no sense
    ├── LoadError                 a load source that did not answer with usable load
    └── KubeError                 the API server answered, or did not, with ...
        ├── Conflict              409: somebody else was there first, or a precondition failed
        ├── NotFound              404
        ├── Forbidden             401, 403: a right or a token is missing
        ├── TooManyRequests       429: come back after `retry_after` seconds
        ├── MalformedResponse            an answer that is no object of the kind that was asked for
        ├── TooLarge              an answer beyond what we read of one
        ├── Denied                any status: admission (a policy, a webhook, or one out of reach) refused the write
        ├── Unavailable           503, or no connection made: nothing was done
        └── Ambiguous             the connection broke after sending, or 500, 502, 504: it may have been done

Messages say what was expected, what came, where, and what to do; the command line prints them as they are. Errors that
cross a room are chained with ``from``. "Does not fit" is no error: it is data in a Decision.
"""


class PeaksError(Exception):
    """Root of everything raised on purpose here."""


class ConfigurationError(PeaksError):
    """Wrong usage or configuration; the command ends with exit code 2."""


class PowerModelError(ConfigurationError):
    """A power model file that cannot be read or fails validation."""


class QuantityError(PeaksError, ValueError):
    """Text that Kubernetes would not accept as a quantity."""


class ObjectError(PeaksError, ValueError):
    """An API object that lacks what every such object has (a name, a uid)."""


class ModelFitError(PeaksError):
    """A curve could not be fitted: samples or arguments that make no sense. (A FitError is about pods.)"""


class LoadError(PeaksError):
    """A load source gave no usable load. ``kind`` is a short stable word for logs and telemetry."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class KubeError(PeaksError):
    """The API server refused or failed a request. ``status`` is the HTTP status, 0 where none came; ``said`` are the
    server's own words, without the request that they answer."""

    def __init__(self, message: str, status: int = 0, said: str = "") -> None:
        super().__init__(message)
        self.status, self.said = status, said or message


class Conflict(KubeError):  # noqa: N818 - Kubernetes' own word
    """409: already bound, already there, or a precondition (uid, resourceVersion) did not hold."""


class NotFound(KubeError):  # noqa: N818
    """404: the object or its kind does not exist (any more)."""


class Forbidden(KubeError):  # noqa: N818
    """401 or 403: the token is not accepted or lacks the right."""


class TooManyRequests(KubeError):  # noqa: N818
    """429: the API server asks to come back after ``retry_after`` [s]."""

    def __init__(self, message: str, retry_after: float, said: str = "") -> None:
        super().__init__(message, 429, said)
        self.retry_after = retry_after


class MalformedResponse(KubeError):  # noqa: N818
    """The answer is not what was asked for: no JSON, no list, an object without a name, another type in a field."""


class TooLarge(KubeError):  # noqa: N818
    """The answer has more bytes than are read of one."""


class Denied(KubeError):  # noqa: N818
    """Admission refused the write, with whatever status the webhook or policy chose: it was not carried out."""


class Unavailable(KubeError):  # noqa: N818
    """The server turned the request away, or no connection was made: it was not carried out."""


class Ambiguous(KubeError):  # noqa: N818
    """The request was sent and no answer came that tells whether it was carried out."""
