"""The Open Inference Protocol, version 2: what MLServer, KServe, Triton and WAO's servers speak.

Owns how a model is asked: as its metadata say (name and datatype of its input, whether many rows may come at once), or
as WAO asks where there are none. Metadata are read again after KEPT seconds, after an error, and when the version of an
answer is a new one. Outputs are taken by position: their names differ from server to server. Never judges a number.

    POST /v2/models/{model}[/versions/{version}]/infer
    {"inputs": [{"name": "predict-prob", "shape": [2, 3], "datatype": "FP32", "data": [[0.1, 22.0, 7.5], ...]}]}
    -> {"model_version": "1", "outputs": [{"name": "predict", "shape": [2, 1], "datatype": "FP64", "data": [81.2, ..]}]}
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import quote

import msgspec
import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import PredictorError
from peaks_scheduler.settings.predictors import ServedModel
from peaks_scheduler.settings.values import shown
from peaks_scheduler.sources.prometheus.failures import one_line

from .connection import Connection
from .parts import Turns, in_parts
from .predictor import Prediction
from .tensors import MOST_ROWS, checked, decode, most_bytes, read_numbers

KEPT = 600.0
"""[s] that metadata are kept."""
_FLOATS = ("FP16", "FP32", "FP64")
_WHOLE = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
_SAME = 1e-3  # relative difference of a row's answers, alone and among others: a float32 network sums in another order


@dataclass(frozen=True, slots=True)
class Form:
    """How a model is asked."""

    name: str = "predict-prob"
    datatype: str = "FP32"
    batch: bool | None = None
    """Does it take many rows at once? None: nobody says."""
    flat: bool = False
    """A row has shape [C], not [1, C]."""


class V2Predictor:
    """See the module, and ``Predictor``."""

    def __init__(self, model: ServedModel, connection: Connection) -> None:
        self._model, self._connection = model, connection
        version = f"/versions/{quote(model.version, safe='')}" if model.version else ""
        self._path = f"/v2/models/{quote(model.model, safe='')}{version}"
        self._form: Form | None = None
        self._read_at, self._version = 0.0, ""
        self._turns = Turns()

    @property
    def model(self) -> ServedModel:
        return self._model

    async def predict(self, rows: Floats) -> Prediction:
        """See ``Predictor``. Kinds of errors: those of ``Connection.ask``, and shape, version, metadata."""
        rows = checked(rows, self._model.inputs)
        if not len(rows):
            return Prediction(rows[:, 0])
        try:
            form = await self._known_form(rows)
            size = MOST_ROWS if form.batch else 1
            answer = await in_parts(rows, size, lambda part: self._infer(form, part), self._where)
        except PredictorError:
            self._form = None
            raise
        if answer.version != self._version:
            self._version, self._form = answer.version, None if self._version else self._form
        return answer

    async def aclose(self) -> None:
        """Nothing: the connection is its owner's."""

    @property
    def _where(self) -> str:
        return f"{self._connection.where}: model {shown(self._model.model)}"

    async def _known_form(self, rows: Floats) -> Form:
        now = self._connection.now()
        if self._form is None or now - self._read_at >= KEPT:
            self._form, self._read_at = await self._read_form(), now
        if self._form.batch is None and len(rows) > 1:
            self._form = await self._tried(self._form, rows)
        return self._form

    async def _read_form(self) -> Form:
        try:
            body = await self._connection.ask(self._path)
        except PredictorError as error:
            if error.kind == "http-404":
                return Form()
            raise
        return read_form(body, self._model, self._where)

    async def _tried(self, form: Form, rows: Floats) -> Form:
        """Does a model without metadata take several rows? Only if it answers two of them as it answers each alone."""
        pair = rows[[0, -1]]
        alone = np.concatenate([(await self._infer(form, row[None, :])).watts for row in pair])
        if alone[0] == alone[1]:
            return form  # its answers would look the same if it mixed them up
        try:
            both = (await self._infer(form, pair)).watts
        except PredictorError as error:
            if error.kind != "shape" and not error.kind.startswith(("http-4", "http-500")):
                raise
            return replace(form, batch=False)
        return replace(form, batch=bool(np.allclose(both, alone, rtol=_SAME, atol=0.0, equal_nan=True)))

    async def _infer(self, form: Form, rows: Floats) -> Prediction:
        content = await self._turns.encode(rows, lambda part: encoded(form, part))
        body = await self._connection.ask(f"{self._path}/infer", content, most_bytes(len(rows)))
        return read_answer(body, len(rows), self._where)


def encoded(form: Form, rows: Floats) -> bytes:
    """The body that asks for (M, C) rows."""
    values = np.rint(rows).astype(np.int64) if form.datatype in _WHOLE else rows
    tensor = {
        "name": form.name,
        "shape": [rows.shape[1]] if form.flat else list(rows.shape),
        "datatype": form.datatype,
        "data": values[0].tolist() if form.flat else values.tolist(),
    }
    return msgspec.json.encode({"inputs": [tensor]})


def read_answer(body: bytes | bytearray, count: int, where: str) -> Prediction:
    """The answer to ``count`` rows. Raises PredictorError of kind malformed or shape."""
    answer = decode(body, _ANSWER, where, "{outputs: [{data: [..]}]}")
    if not answer.outputs:
        raise PredictorError("shape", f"{where}: expected an output; got none")
    version = "" if answer.model_version is None else one_line(str(answer.model_version))
    return Prediction(read_numbers(answer.outputs[0].data, count, where), version)


def read_form(body: bytes | bytearray, model: ServedModel, where: str) -> Form:
    """How the model wants to be asked, by its metadata. Raises PredictorError of kind malformed, and of kind metadata
    if it takes other columns than ours."""
    told = decode(body, _METADATA, where, "metadata such as {name, platform, inputs: [..]}")
    columns = len(model.inputs)
    if not told.inputs:
        return Form()
    wanted = f"{where}: expected one input of {columns} numbers ({', '.join(model.inputs)})"
    if len(told.inputs) > 1:
        names = ", ".join(shown(each.name) for each in told.inputs[:5])
        raise PredictorError("metadata", f"{wanted}; it has {len(told.inputs)} inputs: {names}")
    tensor = told.inputs[0]
    if tensor.datatype not in _FLOATS + _WHOLE:
        raise PredictorError("metadata", f"{wanted}; its datatype is {shown(tensor.datatype)}")
    if tensor.datatype in _WHOLE and model.cpu == "ratio":
        raise PredictorError("metadata", f"{wanted}; it takes whole numbers, and cpu is a ratio: give it percent")
    match tensor.shape:
        case [-1]:
            return Form(tensor.name, tensor.datatype)
        case [width] if width == columns:
            return Form(tensor.name, tensor.datatype, batch=False, flat=True)
        case [-1 | 1 as first, width] if width in (-1, columns):
            return Form(tensor.name, tensor.datatype, batch=first == -1)
    shapes = f"of shape [-1, {columns}] or [1, {columns}]; its shape is {tensor.shape[:6]}"
    raise PredictorError("metadata", f"{wanted} {shapes}: do `inputs` name its columns?")


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int] = []


class _Metadata(msgspec.Struct):
    inputs: list[_Tensor] | None = None


class _Output(msgspec.Struct):
    data: msgspec.Raw


class _Answer(msgspec.Struct):
    outputs: list[_Output]
    model_version: str | int | None = None


_METADATA: msgspec.json.Decoder[_Metadata] = msgspec.json.Decoder(_Metadata)
_ANSWER: msgspec.json.Decoder[_Answer] = msgspec.json.Decoder(_Answer)
