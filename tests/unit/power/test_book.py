"""The power book: which layer's model counts, when an entry ends, and that writers do not need to know each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from peaks_scheduler.power.book import PowerBook, by_origin
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.power.models import Origin, PowerModel, PowerModels
from tests.support.builders import BENT_DOWN, BENT_UP, ledger, models, node

FILE, LEARNED, PREDICTED = Linear(100.0, 200.0), Linear(101.0, 201.0), Linear(102.0, 202.0)
LABELS = {"type": "large"}


def learned(name: str = "n1") -> PowerModel:
    return PowerModel(name, LEARNED, origin="learned")


def predicted(name: str = "n1") -> PowerModel:
    return PowerModel(name, PREDICTED, origin="predicted")


def book() -> PowerBook:
    """The file has a model of n1."""
    return PowerBook(models(n1=FILE), 0.0)


Step = Callable[[PowerBook], object]


def learn(known: PowerBook) -> bool:
    return known.learn(learned(), LABELS, 1.0, instead_of=known.up_to("learned", "n1", LABELS))


def predict(known: PowerBook) -> None:
    known.predict([predicted()], 2.0, 60.0)


def read_file(known: PowerBook) -> None:
    known.set_file(models(n1=BENT_UP), 3.0)


def empty_file(known: PowerBook) -> None:
    known.set_file(PowerModels(), 3.0)


def withdraw(known: PowerBook) -> None:
    known.withdraw(["n1"])


def before_expiry(known: PowerBook) -> None:
    known.expire(59.9)


def at_expiry(known: PowerBook) -> None:
    known.expire(60.0)


STATES: list[tuple[list[Step], Origin | None, list[Origin]]] = [
    # what happens, the layer that counts, the layers that it beats
    ([], "file", []),
    ([learn], "learned", ["file"]),
    ([predict], "predicted", ["file"]),
    ([learn, predict], "predicted", ["learned", "file"]),
    ([predict, learn], "predicted", ["learned", "file"]),
    ([learn, read_file], "file", []),
    ([predict, read_file], "predicted", ["file"]),
    ([learn, predict, read_file], "predicted", ["file"]),
    ([learn, empty_file], None, []),
    ([empty_file, learn], "learned", []),
    ([predict, before_expiry], "predicted", ["file"]),
    ([predict, at_expiry], "file", []),
    ([learn, predict, at_expiry], "learned", ["file"]),
    ([learn, at_expiry], "learned", ["file"]),
    ([learn, predict, withdraw], "learned", ["file"]),
    ([predict, withdraw, predict], "predicted", ["file"]),
]


@pytest.mark.parametrize(
    ("steps", "counts", "beaten"),
    STATES,
    ids=[", ".join(step.__name__ for step in steps) or "-" for steps, *_ in STATES],
)
def test_which_layer_counts(steps: list[Step], counts: Origin | None, beaten: list[Origin]) -> None:
    known = book()
    for step in steps:
        step(known)
    winner = known.winner("n1", LABELS)
    assert (winner.entry.origin if winner else None) == counts
    assert [entry.origin for entry in winner.beaten] == beaten if winner else not beaten
    assert known.for_node("n1", LABELS) == (winner.entry.model if winner else None)
    assert known.models.for_node("n1", LABELS) == known.for_node("n1", LABELS)
    assert known.copy().winner("n1", LABELS) == winner


def test_an_entry_says_since_when_and_until_when_it_counts_and_the_winner_why() -> None:
    known = book()
    learn(known)
    predict(known)
    winner = known.winner("n1", LABELS)
    assert winner is not None
    assert (winner.entry.since, winner.entry.expires) == (2.0, 60.0)
    assert [(entry.since, entry.expires) for entry in winner.beaten] == [(1.0, float("inf")), (0.0, float("inf"))]
    assert winner.why == "predicted: it counts before the model of the layers learned and file"
    known.withdraw(["n1"])
    known.set_file(models(n1=FILE), 5.0)
    alone = known.winner("n1", LABELS)
    assert alone is not None
    assert alone.why == "file: the node has no other model"


def test_a_model_learned_against_another_than_the_one_in_force_is_refused() -> None:
    known = book()
    judged_against = known.up_to("learned", "n1", LABELS)
    read_file(known)
    assert not known.learn(learned(), LABELS, 4.0, instead_of=judged_against)
    assert known.for_node("n1", LABELS) is known.models.by_name["n1"]
    assert known.nodes_of("learned") == frozenset()


def test_a_prediction_does_not_keep_a_model_from_being_learned_under_it() -> None:
    """Neither writer knows of the other."""
    known = book()
    judged_against = known.up_to("learned", "n1", LABELS)
    predict(known)
    assert known.up_to("learned", "n1", LABELS) is judged_against
    assert known.learn(learned(), LABELS, 4.0, instead_of=judged_against)
    assert known.for_node("n1", LABELS) == predicted()
    known.expire(60.0)
    assert known.for_node("n1", LABELS) == learned()


def test_the_layer_decides_the_origin_whatever_the_model_says() -> None:
    known = book()
    known.predict([PowerModel("n1", PREDICTED)], 0.0, 60.0)
    assert known.for_node("n1", LABELS) == predicted()


def test_what_expired_is_named_once_and_the_rest_stays() -> None:
    known = book()
    known.predict([predicted("n1"), predicted("n2")], 0.0, 10.0)
    known.predict([predicted("n2")], 5.0, 20.0)
    assert known.expire(10.0) == {"n1"}
    assert known.expire(10.0) == frozenset()
    assert known.nodes_of("predicted") == {"n2"}


def test_the_version_changes_with_the_models_and_only_then() -> None:
    known = book()
    seen = [known.version]
    for step, changes in ((learn, True), (predict, True), (before_expiry, False), (withdraw, True), (withdraw, False)):
        step(known)
        assert (known.version != seen[-1]) is changes, step.__name__
        seen.append(known.version)
    assert len(set(seen)) == 4  # no number comes back


def test_a_selector_of_the_file_is_beaten_on_the_one_node_alone() -> None:
    known = PowerBook(PowerModels({}, ((LABELS, PowerModel("type=large", FILE)),)))
    known.predict([predicted("n1")], 0.0, 60.0)
    nodes = [("n1", LABELS), ("n2", LABELS), ("n3", {})]
    assert [known.for_node(*each) for each in nodes] == [predicted("n1"), PowerModel("type=large", FILE), None]
    assert by_origin(known.for_node(*each) for each in nodes) == {"file": 1, "learned": 0, "predicted": 1}
    assert known.nodes_of("learned") == frozenset()


def test_the_ledger_follows_its_book() -> None:
    """Whoever writes into the book needs nothing else: the next snapshot has the models, until they expire."""
    known = ledger(node("n1"), node("n2"), power=models(BENT_DOWN))
    before = known.snapshot().curves.watts(known.snapshot().cpu_low).tolist()
    known.power.predict([predicted("n1")], known.now, known.now + 30.0)
    nodes = known.snapshot()
    assert [model.origin for model in nodes.models if model] == ["predicted", "file"]
    assert nodes.curves.watts(nodes.cpu_low)[0] == PREDICTED.watts(0.0)
    known.refresh(known.now + 29.0)
    assert known.snapshot() is nodes
    known.refresh(known.now + 1.0)
    assert known.snapshot().curves.watts(known.snapshot().cpu_low).tolist() == before


def test_another_machine_under_the_name_of_a_node_that_is_gone_has_none_of_its_models() -> None:
    known = book()
    learn(known)
    predict(known)
    known.forget("n1")
    assert known.for_node("n1", LABELS) is known.up_to("file", "n1", LABELS)
    assert known.changed_since(0) == frozenset({"n1"})
