"""``peaks-scheduler check`` names Deployments and ReplicaSets whose podspread-rate has no effect here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from peaks_scheduler.commands.check.spread_rates import Owners, judge, read
from peaks_scheduler.errors import Forbidden, Unavailable
from peaks_scheduler.objects.annotations import SPREAD_RATES

Json = dict[str, Any]
NEW, OLD = SPREAD_RATES


def owner(
    name: str = "web", rate: str | None = "0.6", template: str | None = None, scheduler: str = "Peaks", **meta: Any
) -> Json:
    def annotations(text: str | None) -> Json:
        return {} if text is None else {"annotations": {NEW: text}}

    spec = {"template": {"metadata": annotations(template), "spec": {"schedulerName": scheduler}}}
    return {"metadata": {"name": name, "namespace": "default", **annotations(rate), **meta}, "spec": spec}


class Api:
    """Answers lists of Deployments and ReplicaSets, in pages of two."""

    def __init__(self, deployments: list[Json], replica_sets: list[Json] | Exception = []) -> None:  # noqa: B006
        self._lists: Mapping[str, list[Json] | Exception] = {
            "/apis/apps/v1/deployments": deployments,
            "/apis/apps/v1/replicasets": replica_sets,
        }
        self.asked = 0

    async def get_json(self, path: str, query: Mapping[str, str]) -> Json:
        self.asked += 1
        found = self._lists[path]
        if isinstance(found, Exception):
            raise found
        start = int(query.get("continue", "0"))
        more = {"continue": str(start + 2)} if start + 2 < len(found) else {}
        return {"items": found[start : start + 2], "metadata": more}


async def owners(*args: Any) -> Owners:
    return await read(Api(*args), "Peaks")  # type: ignore[arg-type]


async def test_a_deployment_with_the_annotation_and_a_template_without_is_named() -> None:
    found = await owners([owner("web"), owner("plain", rate=None), owner("fine", template="0.6"), owner("late")])
    assert found == Owners(("Deployment default/web", "Deployment default/late"), 1)


async def test_the_older_name_is_known_too() -> None:
    raw = owner("web", rate=None)
    raw["metadata"]["annotations"] = {OLD: "0.6"}
    assert (await owners([raw])).without_effect == ("Deployment default/web",)


async def test_a_replica_set_of_a_deployment_is_not_named_again() -> None:
    owned = owner("web-7d4", ownerReferences=[{"kind": "Deployment", "name": "web"}])
    found = await owners([owner("web")], [owned, owner("bare")])
    assert found.without_effect == ("Deployment default/web", "ReplicaSet default/bare")


async def test_pods_of_other_schedulers_are_not_our_business() -> None:
    assert await owners([owner("web", scheduler="default-scheduler")]) == Owners()


@pytest.mark.parametrize("rate", ["0", "2", "half"])
async def test_an_annotation_that_asks_for_nothing_is_not_named(rate: str) -> None:
    assert await owners([owner("web", rate=rate)]) == Owners()


@pytest.mark.parametrize("odd", [{}, {"metadata": 3}, {"spec": []}, {"metadata": {"annotations": "no"}}, "text", None])
async def test_objects_of_an_odd_form_are_passed_over(odd: Any) -> None:
    assert (await owners([odd, owner("web")])).without_effect == ("Deployment default/web",)


async def test_without_the_right_it_cannot_tell() -> None:
    found = await owners([owner("web")], Forbidden("HTTP 403"))
    assert found == Owners(unreadable="we may not list replicasets.apps")
    assert [each.status for each in judge(found, wao=True)] == ["warning"]
    assert [*judge(found, wao=False)] == []


async def test_an_api_server_that_does_not_answer_is_no_crash() -> None:
    assert (await owners([], Unavailable("down"))).unreadable == "down"


async def test_a_list_without_end_is_given_up() -> None:
    class Endless(Api):
        async def get_json(self, path: str, query: Mapping[str, str]) -> Json:
            self.asked += 1
            return {"items": [], "metadata": {"continue": "more"}}

    api = Endless([])
    assert (await read(api, "Peaks")).more  # type: ignore[arg-type]
    assert api.asked == 80


def test_the_line_names_the_remedy() -> None:
    (found,) = judge(Owners(("Deployment default/web",)), wao=False)
    assert found.status == "warning"
    assert "Deployment default/web" in found.text
    assert "spec.template.metadata.annotations" in found.remedy


def test_without_such_owners_there_is_no_line() -> None:
    assert [*judge(Owners(), wao=True)] == []
