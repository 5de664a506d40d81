"""Every error this package raises on purpose.

    PeaksError
    ├── ConfigurationError        invalid option, configuration or file: exit code 2
    │   ├── PowerModelError       a power model file cannot be used
    │   └── SimulationError       a simulation was asked for that cannot be
    ├── QuantityError             text is not a Kubernetes quantity
    ├── ObjectError               an API object lacks a required field, or a field has a wrong type
    ├── ModelFitError             a curve could not be fitted: invalid samples or arguments
    ├── LoadError                 a load source did not return usable load
    │   └── PredictorError        an inference server did not answer a question as it should
    └── KubeError                 a request to the API server failed:
        ├── Conflict              409: already bound, already exists, or a precondition failed
        ├── NotFound              404
        ├── Forbidden             401, 403: a right or a token is missing
        ├── TooManyRequests       429: try again after `retry_after` seconds
        ├── MalformedResponse     the response is not an object of the expected kind
        ├── TooLarge              the response has more bytes than we read
        ├── Denied                any status: admission (a policy, a webhook, an unreachable webhook) refused the write
        ├── Unavailable           503, or no connection was opened: nothing was done
        └── Ambiguous             the connection broke after sending, or 500, 502, 504: it may have been done

A message says what was expected, what came, where, and what to do; the command line prints it unchanged. Errors of
another package are chained with ``from``. "Does not fit" is not an error but data in a Decision.
"""


class PeaksError(Exception):
    """Base of all errors of this package."""


class ConfigurationError(PeaksError):
    """Invalid usage or configuration; the command ends with exit code 2."""


class SimulationError(ConfigurationError):
    """A simulation was asked for that cannot be: no nodes, a name twice, an intensity that is not known."""


class PowerModelError(ConfigurationError):
    """A power model file cannot be read or is invalid."""


class QuantityError(PeaksError, ValueError):
    """Kubernetes would not accept this text as a quantity."""


class ObjectError(PeaksError, ValueError):
    """An API object lacks a required field (a name, a uid), or a field has a wrong type."""


class ModelFitError(PeaksError):
    """A curve could not be fitted: invalid samples or arguments. (kube-scheduler's FitError is about pods.)"""


class LoadError(PeaksError):
    """A load source did not return usable load. ``kind``: a short stable word for logs and telemetry."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class PredictorError(LoadError):
    """An inference server did not answer a question as it should. ``kind`` as for LoadError."""


class KubeError(PeaksError):
    """A request to the API server failed.

    ``status``: the HTTP status; 0 without a response. ``said``: the server's message, without the request.
    """

    def __init__(self, message: str, status: int = 0, said: str = "") -> None:
        super().__init__(message)
        self.status, self.said = status, said or message


class Conflict(KubeError):  # noqa: N818 - Kubernetes' word
    """409: already bound, already exists, or a precondition (uid, resourceVersion) failed."""


class NotFound(KubeError):  # noqa: N818
    """404: the object or its kind does not exist."""


class Forbidden(KubeError):  # noqa: N818
    """401 or 403: the token is not accepted, or lacks the right."""


class TooManyRequests(KubeError):  # noqa: N818
    """429: the API server asks to try again after ``retry_after`` [s]."""

    def __init__(self, message: str, retry_after: float, said: str = "") -> None:
        super().__init__(message, 429, said)
        self.retry_after = retry_after


class MalformedResponse(KubeError):  # noqa: N818
    """The response is not what was asked for: not JSON, not a list, an object without a name, a wrong type."""


class TooLarge(KubeError):  # noqa: N818
    """The response has more bytes than we read."""


class Denied(KubeError):  # noqa: N818
    """Admission refused the write, with any status that the webhook or policy chose. Nothing was done."""


class Unavailable(KubeError):  # noqa: N818
    """The server turned the request away, or no connection was opened. Nothing was done."""


class Ambiguous(KubeError):  # noqa: N818
    """The request was sent, but no response tells whether it was carried out."""
