"""How complex a pod's constraints are: the number of texts in them.

A pod written by hand or by a chart has about ten; the API server accepts a hundred thousand. Pure.
"""

from __future__ import annotations

from .pod import Pod

LARGE = 200
"""[parts] Pods with more are decided after all others, so that the others do not wait for them."""
BULKY = 64
"""[parts] A constraint with more (terms, labels, values, namespaces) is compiled instead of found by label, and
evaluated each time instead of cached: what is kept of a pod stays small."""
_LETTERS = 64  # characters of a text that count as one part


def bulky(thing: object, most: int = BULKY) -> bool:
    """Does the object consist of more than ``most`` texts? Tuples, frozensets and dataclasses are looked into."""
    left = [thing]
    while left and most >= 0:
        each = left.pop()
        if isinstance(each, str):
            most -= 1 + len(each) // _LETTERS
        elif isinstance(each, (tuple, frozenset)):
            if len(each) > most:
                return True
            left += each
        else:
            left += [getattr(each, name) for name in getattr(type(each), "__dataclass_fields__", ())]
    return most < 0


def large(pod: Pod) -> bool:
    """May the decision about the pod take long?"""
    limits = (pod.requests, pod.where, pod.tolerations, pod.ports, pod.volumes)
    others = (pod.affinity, pod.anti_affinity, pod.spread, pod.preferences, tuple(pod.labels))
    return bulky((limits, others), LARGE)
