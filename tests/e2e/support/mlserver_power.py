"""A model for MLServer: a server's watts from CPU use, inlet temperature [C] and differential pressure [Pa].

Runs inside MLServer's own environment, where nothing of this project is. A model with ``rows`` 1 refuses to be asked
for more at once, as one that was exported for a single row does. Each question's number of rows is a line in the file
``NAME.asked``, and ``NAME.json`` may change the answers while the server runs.
"""

import json
from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse


class Power(MLModel):
    """The formula; the test works out what it expects by itself."""

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float64)
        self._note(len(rows))
        if self.settings.parameters.extra["rows"] == 1 and len(rows) != 1:
            raise InferenceError(f"expected one row, got {len(rows)}")
        cpu, inlet, pressure = rows.T
        watts = 100.0 + 120.0 * cpu * (1.0 + 0.04 * (inlet - 20.0)) + 0.2 * pressure
        answer = NumpyCodec.encode_output("watts", watts * self._changed().get("factor", 1.0))
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[answer])

    def _note(self, rows: int) -> None:
        with Path(f"{self.name}.asked").open("a") as asked:
            asked.write(f"{rows}\n")

    def _changed(self) -> dict[str, float]:
        changed = Path(f"{self.name}.json")
        return json.loads(changed.read_text()) if changed.is_file() else {}
