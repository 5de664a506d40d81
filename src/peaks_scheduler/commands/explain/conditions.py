"""Temperature and cooling of the nodes in an answer, as far as they are known without a running scheduler.

Owns what is applied (the constants of ``sensors.values``, the setting ``power.overhead``) and what is said of the rest:
sensors and predictors are asked by the running scheduler alone. Assumes that the ledger has its nodes and loads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.overhead import Rack, tell_overhead
from peaks_scheduler.settings.sensors import UNITS
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.text.words import few

WAO_LABEL = "tensorflow/host"
"""Label by which WAO 1 says that a server predicts the node's power."""


def apply_conditions(ledger: Ledger, settings: Settings, now: float) -> list[str]:
    """Tell the nodes what is known of their air and their cooling. Returns notes on what is not."""
    for signal in dict.fromkeys(name for of_node in settings.sensors.values.values() for name in of_node):
        values = {node: of_node[signal] for node, of_node in settings.sensors.values.items() if signal in of_node}
        ledger.set_signal(signal, values, unit=UNITS.get(signal, ""), time=now)
    racks: Sequence[Rack] = ()
    if settings.power.overhead is not None:
        racks = tell_overhead(ledger, ledger.snapshot(), settings.power.overhead, now)
    uncertain = [f"{rack.name}: {'; '.join(rack.troubles)}" for rack in racks if rack.troubles]
    return [*_unknown_air(ledger), *([f"overhead of cooling, by rack: {few(uncertain)}"] if uncertain else [])]


def _unknown_air(ledger: Ledger) -> list[str]:
    names = []
    for node in ledger.nodes():
        model = ledger.models.for_node(node.name, node.labels)
        if model is not None and model.temperature is not None and math.isnan(ledger.celsius(node.name, model)):
            names.append(f"{node.name} ({model.temperature.most:g})")
    if not names:
        return []
    return [
        "temperature not known, so a hot one counts for the model [celsius, in brackets], unless sensors.values "
        f"says it: {few(names)}"
    ]


def not_asked(ledger: Ledger, settings: Settings) -> str:
    """Which sensors and predictors a running scheduler asks and this answer does not, in words; empty: none is known
    of. What NodeConfig objects say is not looked at."""
    sensors, predictors = settings.sensors, settings.predictors
    labelled = predictors.node_labels and any(WAO_LABEL in node.labels for node in ledger.nodes())
    asked = [
        word
        for word, there in (
            ("sensors", replace(sensors, values={}).any),
            ("predictors", bool(predictors.servers) or labelled),
        )
        if there
    ]
    if not asked:
        return ""
    return (
        f"a running scheduler asks {' and '.join(asked)} that this answer does not ask: it may use other power curves "
        "and place the pod elsewhere; the decision record of a placed pod says which (modelFrom, temperature)"
    )
