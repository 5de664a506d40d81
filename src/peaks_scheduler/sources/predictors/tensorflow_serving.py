"""TensorFlow Serving's REST predict: what WAO's first version and many sites have.

Owns which form a model is asked in: by rows (``instances``), and by columns (``inputs``) where the server refuses rows
or its outputs have names. An answer does not say which version of the model gave it: the version that is available is
asked for by its number, so that one question is answered by one version. It is looked up every KEPT seconds, after an
error, and at once when it is gone. Never judges a number.

    GET /v1/models/{model} -> {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {...}}]}
    POST /v1/models/{model}/versions/1:predict {"signature_name": "konohana", "instances": [[0.1, 0.4, 0.5, 0.5], ...]}
    -> {"predictions": [[81.2], ...]}
"""

from __future__ import annotations

import contextlib
import re
from urllib.parse import quote

import msgspec

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import PredictorError
from peaks_scheduler.settings.predictors import ServedModel
from peaks_scheduler.settings.values import shown
from peaks_scheduler.sources.prometheus.failures import one_line
from peaks_scheduler.text.words import few

from .connection import Connection
from .parts import Turns, in_parts
from .predictor import Prediction
from .tensors import MOST_ROWS, checked, decode, most_bytes, read_numbers

KEPT = 60.0
"""[s] that the available version is kept."""
_UNTOLD = ("http-400", "http-404", "http-405", "http-501")
"""Servers that speak the same predict, and no state of models."""
_NUMBER = re.compile(r"[0-9]{1,19}")  # of a version


class TensorFlowPredictor:
    """See the module, and ``Predictor``."""

    def __init__(self, model: ServedModel, connection: Connection) -> None:
        self._model, self._connection = model, connection
        self._name = f"/v1/models/{quote(model.model, safe='')}"
        self._rows = True  # the form that it is asked in
        self._available: str | None = None  # empty: the server does not say
        self._read_at = 0.0
        self._turns = Turns()

    @property
    def model(self) -> ServedModel:
        return self._model

    async def predict(self, rows: Floats) -> Prediction:
        """See ``Predictor``. Kinds of errors: those of ``Connection.ask``, and shape, version, state."""
        rows = checked(rows, self._model.inputs)
        if not len(rows):
            return Prediction(rows[:, 0])
        try:
            return await self._predict(rows)
        except PredictorError:
            self._available, self._rows = None, True
            raise

    async def aclose(self) -> None:
        """Nothing: the connection is its owner's."""

    @property
    def _where(self) -> str:
        return f"{self._connection.where}: model {shown(self._model.model)}"

    async def _predict(self, rows: Floats) -> Prediction:
        version = await self._version()
        try:
            return await self._ask(rows, version)
        except PredictorError as error:
            if error.kind != "http-404" or not version:
                raise
            self._available = None
            newer = await self._version()
            if newer in ("", version):
                raise
        # the version was replaced: the whole question goes to its successor
        return await self._ask(rows, newer)

    async def _ask(self, rows: Floats, version: str) -> Prediction:
        return await in_parts(rows, MOST_ROWS, lambda part: self._part(part, version), self._where)

    async def _version(self) -> str:
        """The number to ask for; empty: the server's own choice."""
        if _NUMBER.fullmatch(self._model.version):
            return self._model.version
        now = self._connection.now()
        if self._available is None or now - self._read_at >= KEPT:
            self._available, self._read_at = await self._read_version(), now
        return self._available

    async def _read_version(self) -> str:
        try:
            body = await self._connection.ask(self._name + self._label)
        except PredictorError as error:
            if error.kind in _UNTOLD:
                return ""
            raise
        return read_state(body, self._where)

    @property
    def _label(self) -> str:
        version = self._model.version
        return f"/labels/{quote(version, safe='')}" if version and not _NUMBER.fullmatch(version) else ""

    async def _part(self, rows: Floats, version: str) -> Prediction:
        path = f"{self._name}{f'/versions/{version}' if version else self._label}:predict"
        refused: PredictorError | None = None
        if self._rows:
            try:
                numbers = await self._by_rows(path, rows)
                if numbers is not None:
                    return Prediction(numbers, version)
            except PredictorError as error:
                if error.kind != "http-400":
                    raise
                refused = error
        try:
            numbers = await self._by_columns(path, rows)
        except PredictorError as error:
            if refused is None or error.kind != "http-400":
                raise
            # the words about the usual form say more
            raise refused from error
        self._rows = False
        return Prediction(numbers, version)

    async def _by_rows(self, path: str, rows: Floats) -> Floats | None:
        """None: the outputs have names."""
        return read_predictions(await self._asked(path, "instances", rows), len(rows), self._where)

    async def _by_columns(self, path: str, rows: Floats) -> Floats:
        return read_outputs(await self._asked(path, "inputs", rows), len(rows), self._where)

    async def _asked(self, path: str, key: str, rows: Floats) -> bytes | bytearray:
        signature = {"signature_name": self._model.signature} if self._model.signature else {}
        content = await self._turns.encode(rows, lambda part: msgspec.json.encode({**signature, key: part.tolist()}))
        return await self._connection.ask(path, content, most_bytes(len(rows)))


def read_predictions(body: bytes | bytearray, count: int, where: str) -> Floats | None:
    """The answer to ``count`` rows; None: its outputs have names. Raises PredictorError of kind malformed or shape."""
    found = decode(body, _PREDICTIONS, where, "{predictions: [..]}").predictions
    if bytes(found).lstrip(b"[ \t\r\n").startswith(b"{"):
        return None
    return read_numbers(found, count, where)


def read_outputs(body: bytes | bytearray, count: int, where: str) -> Floats:
    """The answer to ``count`` rows that were asked by columns. Raises PredictorError of kind malformed or shape."""
    found = decode(body, _OUTPUTS, where, "{outputs: [..]}").outputs
    if not bytes(found).startswith(b"{"):
        return read_numbers(found, count, where)
    return _fitting(decode(bytes(found), _NAMED, where, "outputs by name"), count, where)


def _fitting(outputs: dict[str, msgspec.Raw], count: int, where: str) -> Floats:
    """The output that has one number for each row. Their order says nothing: it is a map's."""
    if len(outputs) == 1:
        return read_numbers(next(iter(outputs.values())), count, where)
    fitting = []
    for value in outputs.values():
        with contextlib.suppress(PredictorError):
            fitting.append(read_numbers(value, count, where))
    if len(fitting) != 1:
        names = few([shown(each) for each in sorted(outputs)], 5)
        told = f"{len(fitting)} of its outputs have ({names}): choose a signature with one output"
        raise PredictorError("shape", f"{where}: expected one output with one number for each row; {told}")
    return fitting[0]


def read_state(body: bytes | bytearray, where: str) -> str:
    """The newest version that is available; empty: no versions are told. Raises PredictorError of kind malformed, and
    of kind state if none is available."""
    states = decode(body, _STATE, where, "the state of its versions").model_version_status
    if not states:
        return ""
    ready = [each.version for each in states if each.state == "AVAILABLE" and _NUMBER.fullmatch(each.version)]
    if not ready:
        told = few([f"{each.version} is {each.state} {each.status.error_message}".strip() for each in states], 3)
        raise PredictorError("state", f"{where}: no version of it is available: {one_line(told)}")
    return max(ready, key=int)


class _Status(msgspec.Struct):
    error_message: str = ""


class _State(msgspec.Struct):
    version: str
    state: str = ""
    status: _Status = msgspec.field(default_factory=_Status)


class _States(msgspec.Struct):
    model_version_status: list[_State] | None = None


class _Predictions(msgspec.Struct):
    predictions: msgspec.Raw


class _Outputs(msgspec.Struct):
    outputs: msgspec.Raw


_STATE: msgspec.json.Decoder[_States] = msgspec.json.Decoder(_States)
_PREDICTIONS: msgspec.json.Decoder[_Predictions] = msgspec.json.Decoder(_Predictions)
_OUTPUTS: msgspec.json.Decoder[_Outputs] = msgspec.json.Decoder(_Outputs)
_NAMED: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
