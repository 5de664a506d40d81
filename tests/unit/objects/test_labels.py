"""Labels of pods: equal ones are one object, and go with the last pod that has them."""

from __future__ import annotations

import gc
import pickle

from peaks_scheduler.objects.labels import LONGEST, Labels, Texts, labels_of


def test_equal_labels_of_two_pods_are_one_object() -> None:
    first = labels_of({"app": "web", "tier": "front"})
    assert labels_of({"tier": "front", "app": "web"}) is first


def test_other_keys_with_the_same_values_are_other_labels() -> None:
    first = labels_of({"app": "web"})
    assert labels_of({"name": "web"}) == {"name": "web"} != first


def test_labels_in_any_order_are_found_by_each_other() -> None:
    assert {Labels({"a": "1", "b": "2"}): "found"}[Labels({"b": "2", "a": "1"})] == "found"


def test_labels_read_from_a_file_may_hold_anything() -> None:
    assert labels_of({"app": ["web"], "tier": None}) == {"app": ["web"], "tier": None}  # type: ignore[dict-item]


def test_labels_that_were_sent_to_another_process_are_equal() -> None:
    labels = labels_of({"app": "web"})
    assert pickle.loads(pickle.dumps(labels)) == labels


def test_labels_go_with_the_last_pod_that_has_them() -> None:
    before = sum(isinstance(each, Labels) for each in gc.get_objects())
    for i in range(100):
        labels_of({"job": f"a job of its own {i}"})
    assert sum(isinstance(each, Labels) for each in gc.get_objects()) <= before + 1


def test_texts_that_come_once_do_not_pile_up() -> None:
    texts = Texts(most=10)
    for i in range(1000):
        texts(f"text {i}")
    assert len(texts) <= 20


def test_a_long_text_is_not_kept() -> None:
    texts = Texts()
    texts("x" * (LONGEST + 1))
    assert len(texts) == 0
