"""Long words are read in one go: a text that its reader tries to split in every way would hold up everybody.

Each word has 200,000 characters: where the time grows with the square of that, these tests take hours, not seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from peaks_scheduler.errors import QuantityError
from peaks_scheduler.files.csv.written_numbers import told, written
from peaks_scheduler.objects.annotations import TOLERANCE
from peaks_scheduler.objects.ceilings import ANNOTATION, annotated
from peaks_scheduler.objects.meta import parse_time
from peaks_scheduler.objects.node import node_from_api
from peaks_scheduler.objects.pod import pod_from_api
from peaks_scheduler.objects.quantity import parse_quantity
from peaks_scheduler.objects.selectors import Requirement, parse_int64
from peaks_scheduler.settings.values import parse_address, parse_duration, parse_listen, parse_share

LENGTH = 200_000  # an annotation may have 262,144 bytes
STARTS = ("", "1", "cpu=", "http://", "2026-11-20T10:00:00")
PIECES = ("1", "0", "9.", ".", " ", "1e", "1h", "-", "a", ",", "cpu=", ":", "[", "%")
LONG = [f"{start}{piece * (LENGTH // len(piece))}!" for start in STARTS for piece in PIECES]

READERS: dict[str, Callable[[str], object]] = {
    "the ceiling of a pod or a node": lambda text: annotated({ANNOTATION: text}),
    "the tolerance of a pod": lambda text: pod_from_api(
        {"metadata": {"name": "p", "annotations": {TOLERANCE: text, ANNOTATION: text}}, "spec": {}}, 100
    ),
    "a node": lambda text: node_from_api({"metadata": {"name": "w", "annotations": {ANNOTATION: text}}}),
    "a quantity": parse_quantity,
    "a whole number": parse_int64,
    "a value of a requirement": lambda text: Requirement("a", "Gt", (text,)).matches({"a": text}),
    "a time": parse_time,
    "a duration": parse_duration,
    "a share": parse_share,
    "a URL": parse_address,
    "an address": parse_listen,
    "a number in a table": lambda text: told(written(text).body),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_long_word_is_read_or_refused_in_one_go(read: Callable[[str], object]) -> None:
    for text in LONG:
        with suppress(ValueError, QuantityError):
            read(text)


def test_what_is_odd_about_an_annotation_is_short() -> None:
    _, odd = annotated({ANNOTATION: "1" * LENGTH + "!"})
    assert len(odd) == 1
    assert len(odd[0]) < 300
