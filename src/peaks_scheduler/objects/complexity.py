"""How much there is to look at: what a pod says of where it may run, or a part of it.

Owns one measure, the number of texts. A pod made by hand or by a chart has some ten; the API server accepts a hundred
thousand. Never judges what they mean.
"""

from __future__ import annotations

from .pod import Pod

LARGE = 200
"""[parts] A pod with more is decided about behind others: rightly, but not at their expense."""
BULKY = 64
"""Parts of a constraint (terms, labels, values, namespaces) beyond which it is compiled instead of looked up by label,
and worked out anew instead of remembered: what is kept of a pod's wishes stays small whatever it wishes."""
_LETTERS = 64  # of a text that count as one part


def bulky(thing: object, most: int = BULKY) -> bool:
    """Does it consist of more than ``most`` texts? Containers and the project's own records are looked into, only as
    far as it takes to know."""
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
    """May deciding about the pod take long?"""
    limits = (pod.requests, pod.where, pod.tolerations, pod.ports, pod.volumes)
    others = (pod.affinity, pod.anti_affinity, pod.spread, pod.preferences, tuple(pod.labels))
    return bulky((limits, others), LARGE)
