"""The embedded API server over HTTP: what it answers, refuses and streams, and its faults.

Expected texts are those of kube-apiserver 1.36 (``BindingREST``, apimachinery's ``api/errors``).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from peaks_scheduler.embedded.apiserver import EmbeddedApiServer

PODS = "/api/v1/namespaces/default/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
NOON = 1_800_000_000.0  # 2027-01-15T08:00:00Z
METADATA_ONLY = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedApiServer]:
    async with EmbeddedApiServer(clock=lambda: NOON) as server:
        yield server


@pytest.fixture
async def client(server: EmbeddedApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(server.url, timeout=timeout) as client:
        yield client


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": {"schedulerName": "Peaks", **spec}}


def binding(name: str, node: str = "worker-1", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "target": {"kind": "Node", "name": node}}


async def get(client: aiohttp.ClientSession, path: str, **kwargs: Any) -> dict[str, Any]:
    async with client.get(path, **kwargs) as response:
        body: dict[str, Any] = await response.json()
        return body


async def post(client: aiohttp.ClientSession, path: str, body: object) -> tuple[int, dict[str, Any]]:
    async with client.post(path, json=body) as response:
        return response.status, await response.json()


async def events(
    client: aiohttp.ClientSession, query: str, count: int, path: str = "/api/v1/pods"
) -> list[dict[str, Any]]:
    """The first ``count`` events of a watch."""
    async with client.get(f"{path}?watch=true&{query}") as response:
        return [json.loads(await response.content.readline()) for _ in range(count)]


def names(body: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in body["items"]]


# ---- objects


async def test_a_new_pod_is_pending_and_has_what_the_server_gives_every_object(server, client) -> None:
    status, made = await post(client, PODS, {"metadata": {"name": "web-0"}, "spec": {}})
    assert status == 201
    assert made["kind"] == "Pod"
    assert made["status"]["phase"] == "Pending"
    assert made["spec"]["schedulerName"] == "default-scheduler"
    assert made["metadata"]["creationTimestamp"] == "2027-01-15T08:00:00Z"
    assert made["metadata"]["uid"]
    assert made == await get(client, f"{PODS}/web-0")


async def test_a_name_can_be_taken_only_once(server, client) -> None:
    server.add_pod(pod("web-0"))
    status, answer = await post(client, PODS, pod("web-0"))
    assert status == 409
    assert answer["reason"] == "AlreadyExists"
    assert answer["message"] == 'pods "web-0" already exists'


async def test_a_pod_that_is_not_there_is_a_status_object_with_404(client) -> None:
    answer = await get(client, f"{PODS}/web-0")
    assert (answer["kind"], answer["code"], answer["reason"]) == ("Status", 404, "NotFound")
    assert answer["message"] == 'pods "web-0" not found'


async def test_the_date_header_is_the_servers_clock(client) -> None:
    async with client.get("/api/v1/pods") as response:
        assert response.headers["Date"] == "Fri, 15 Jan 2027 08:00:00 GMT"


async def test_every_write_moves_the_one_version_on(server) -> None:
    versions = [int(server.add_node({"metadata": {"name": "n"}})["metadata"]["resourceVersion"])]
    versions.append(int(server.add_pod(pod("a"))["metadata"]["resourceVersion"]))
    versions.append(int(server.bind("a", "n")["metadata"]["resourceVersion"]))
    assert versions == sorted(set(versions))


# ---- lists


@pytest.mark.parametrize(
    ("fields", "chosen"),
    [
        ("spec.schedulerName=Peaks,spec.nodeName=", ["new"]),
        ("spec.nodeName==worker-1", ["bound", "done"]),
        ("spec.nodeName!=worker-1", ["new", "other"]),
        ("status.phase!=Succeeded,status.phase!=Failed", ["bound", "new", "other"]),
        ("metadata.name=bound", ["bound"]),
        ("", ["bound", "done", "new", "other"]),
    ],
    ids=["pending ones of ours", "on a node", "not on a node", "not finished", "by name", "all"],
)
async def test_field_selectors_choose_pods(server, client, fields: str, chosen: list[str]) -> None:
    server.add_pod(pod("new"))
    server.add_pod(pod("bound", nodeName="worker-1"))
    server.add_pod({**pod("done", nodeName="worker-1"), "status": {"phase": "Succeeded"}})
    server.add_pod(pod("other", schedulerName="default-scheduler"))
    assert names(await get(client, "/api/v1/pods", params={"fieldSelector": fields})) == chosen


async def test_an_unknown_field_is_refused_by_name(client) -> None:
    answer = await get(client, "/api/v1/pods", params={"fieldSelector": "spec.colour=red"})
    assert answer["code"] == 400
    assert answer["message"].endswith("field label not supported: spec.colour")


async def test_pages_of_a_list_show_the_state_of_its_beginning(server, client) -> None:
    for name in "abc":
        server.add_pod(pod(name))
    first = await get(client, "/api/v1/pods?limit=2")
    server.remove("pods", "c")
    second = await get(client, "/api/v1/pods", params={"limit": "2", "continue": first["metadata"]["continue"]})
    assert (names(first), names(second)) == (["a", "b"], ["c"])
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert "continue" not in second["metadata"]


async def test_a_continued_list_expires_with_the_history(server, client) -> None:
    for name in "abc":
        server.add_pod(pod(name))
    first = await get(client, "/api/v1/pods?limit=2")
    server.compact()
    answer = await get(client, "/api/v1/pods", params={"limit": "2", "continue": first["metadata"]["continue"]})
    assert (answer["code"], answer["reason"]) == (410, "Expired")


async def test_a_list_of_metadata_carries_nothing_else(server, client) -> None:
    server.add_pod(pod("web-0"))
    body = await get(client, "/api/v1/pods", headers=METADATA_ONLY)
    assert (body["kind"], body["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    assert [sorted(item) for item in body["items"]] == [["apiVersion", "kind", "metadata"]]


async def test_a_list_within_a_namespace_leaves_the_others_out(server, client) -> None:
    server.add_pod(pod("here"))
    server.add_pod({**pod("there"), "metadata": {"name": "there", "namespace": "elsewhere"}})
    assert names(await get(client, PODS)) == ["here"]
    assert names(await get(client, "/api/v1/pods")) == ["here", "there"]


# ---- binding


async def test_a_binding_sets_node_annotation_and_condition_in_one_write(server, client) -> None:
    made = server.add_pod({**pod("web-0"), "status": {"phase": "Pending", "nominatedNodeName": "worker-9"}})
    body = binding("web-0", uid="uid-web-0", annotations={"peaks-scheduler/decision": "{}"})
    status, answer = await post(client, f"{PODS}/web-0/binding", body)
    bound = server.get("pods", "web-0")
    assert (status, answer["status"]) == (201, "Success")
    assert bound["spec"]["nodeName"] == "worker-1"
    assert bound["metadata"]["annotations"] == {"peaks-scheduler/decision": "{}"}
    assert [(c["type"], c["status"]) for c in bound["status"]["conditions"]] == [("PodScheduled", "True")]
    assert "nominatedNodeName" not in bound["status"]
    assert int(bound["metadata"]["resourceVersion"]) == int(made["metadata"]["resourceVersion"]) + 1


@pytest.mark.parametrize(
    ("there", "metadata", "text"),
    [
        (pod("a"), {"uid": "x"}, "Precondition failed: UID in precondition: x, UID in object meta: uid-a"),
        (pod("a"), {"resourceVersion": "1"}, "Precondition failed: ResourceVersion in precondition: 1"),
        (pod("a", nodeName="worker-2"), {}, 'pod a is already assigned to node "worker-2"'),
        (pod("a", schedulingGates=[{"name": "wait"}]), {}, "pod a has non-empty .spec.schedulingGates"),
        (
            {**pod("a"), "metadata": {"name": "a", "deletionTimestamp": "2027-01-15T08:00:00Z"}},
            {},
            "pod a is being deleted, cannot be assigned to a host",
        ),
    ],
    ids=["wrong uid", "wrong version", "bound already", "gated", "being deleted"],
)
async def test_a_binding_that_may_not_be_is_a_conflict_in_the_real_words(server, client, there, metadata, text) -> None:
    before = server.add_pod(there)
    status, answer = await post(client, f"{PODS}/a/binding", binding("a", **metadata))
    assert (status, answer["reason"]) == (409, "Conflict")
    assert text in answer["message"]
    assert server.get("pods", "a") == before


async def test_binding_a_pod_that_is_gone_is_not_found(client) -> None:
    status, answer = await post(client, f"{PODS}/a/binding", binding("a"))
    assert (status, answer["message"]) == (404, 'pods "a" not found')


# ---- status, deletion, events, leases, reviews


async def test_a_status_patch_merges_conditions_by_type_and_leaves_the_spec(server, client) -> None:
    there = [{"type": "PodScheduled", "status": "False", "reason": "Old"}, {"type": "Ready", "status": "False"}]
    server.add_pod({**pod("a"), "status": {"phase": "Pending", "conditions": there}})
    change = {
        "status": {
            "$setElementOrder/conditions": [{"type": "PodScheduled"}],
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1"}],
        },
        "spec": {"nodeName": "worker-1"},
    }
    async with client.patch(f"{PODS}/a/status", data=json.dumps(change), headers=STRATEGIC) as response:
        patched = await response.json()
    assert [c["reason"] for c in patched["status"]["conditions"] if c["type"] == "PodScheduled"] == ["Unschedulable"]
    assert len(patched["status"]["conditions"]) == 2
    assert "nodeName" not in patched["spec"]


async def test_a_patch_for_another_uid_changes_nothing(server, client) -> None:
    server.add_pod(pod("a"))
    change = {"metadata": {"uid": "x"}, "status": {"phase": "Failed"}}
    async with client.patch(f"{PODS}/a/status", data=json.dumps(change), headers=STRATEGIC) as response:
        assert response.status == 409
    assert server.get("pods", "a")["status"]["phase"] == "Pending"


async def test_deleting_a_pending_pod_removes_it_and_a_bound_one_is_left_to_its_kubelet(server, client) -> None:
    server.add_pod(pod("pending"))
    server.add_pod(pod("bound", nodeName="worker-1"))
    for name in ("pending", "bound"):
        async with client.delete(f"{PODS}/{name}") as response:
            assert response.status == 200
    assert [p["metadata"]["name"] for p in server.objects("pods")] == ["bound"]
    assert server.get("pods", "bound")["metadata"]["deletionGracePeriodSeconds"] == 30
    async with client.delete(f"{PODS}/bound", json={"gracePeriodSeconds": 0}) as response:
        assert response.status == 200
    assert server.objects("pods") == []


async def test_both_groups_of_events_are_one_store(server, client) -> None:
    newer, core = "/apis/events.k8s.io/v1/namespaces/default/events", "/api/v1/namespaces/default/events"
    regarding = {"kind": "Pod", "name": "web-0"}
    body = {"metadata": {"name": "e1"}, "note": "Successfully assigned", "regarding": regarding, "reason": "Scheduled"}
    assert (await post(client, newer, body))[0] == 201
    assert (await post(client, core, {"metadata": {"name": "e1"}}))[0] == 409
    seen = await get(client, f"{core}?fieldSelector=involvedObject.name=web-0,reason=Scheduled")
    assert [(e["message"], e["involvedObject"]) for e in seen["items"]] == [("Successfully assigned", regarding)]
    assert [e["note"] for e in server.objects("events")] == ["Successfully assigned"]


async def test_a_lease_is_written_only_by_who_saw_its_last_version(server, client) -> None:
    _, lease = await post(client, LEASES, {"metadata": {"name": "peaks"}, "spec": {"holderIdentity": "a"}})
    second = {**lease, "spec": {"holderIdentity": "b"}}
    async with client.put(f"{LEASES}/peaks", json=second) as response:
        assert response.status == 200
    async with client.put(f"{LEASES}/peaks", json={**lease, "spec": {"holderIdentity": "c"}}) as response:
        answer = await response.json()
    assert answer["code"] == 409
    assert answer["message"] == (
        'Operation cannot be fulfilled on leases.coordination.k8s.io "peaks": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    assert server.get("leases", "peaks", "kube-system")["spec"]["holderIdentity"] == "b"


async def test_an_access_review_allows_what_is_not_denied(server, client) -> None:
    server.denied.add(("create", "pods/binding"))
    asked = {"verb": "create", "resource": "pods", "subresource": "binding"}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answers = [
        (await post(client, path, {"spec": {"resourceAttributes": attributes}}))[1]["status"]["allowed"]
        for attributes in (asked, {"verb": "list", "resource": "pods"})
    ]
    assert answers == [False, True]


async def test_discovery_names_every_kind_with_its_subresources(client) -> None:
    core = {r["name"] for r in (await get(client, "/api/v1"))["resources"]}
    groups = {g["name"] for g in (await get(client, "/apis"))["groups"]}
    leases = (await get(client, "/apis/coordination.k8s.io/v1"))["resources"]
    assert {"pods", "pods/binding", "pods/status", "nodes", "events", "persistentvolumeclaims"} <= core
    assert groups == {"authorization.k8s.io", "coordination.k8s.io", "events.k8s.io", "storage.k8s.io"}
    assert [r["kind"] for r in leases] == ["Lease"]


async def test_a_kind_that_the_server_is_without_is_neither_discovered_nor_served(server, client) -> None:
    server.absent.add("csinodes")
    storage = {r["name"] for r in (await get(client, "/apis/storage.k8s.io/v1"))["resources"]}
    assert "storageclasses" in storage
    assert "csinodes" not in storage
    assert (await get(client, "/apis/storage.k8s.io/v1/csinodes"))["code"] == 404


async def test_what_is_denied_is_refused_and_nothing_else(server, client) -> None:
    server.denied.add(("watch", "persistentvolumeclaims"))
    server.add("persistentvolumeclaims", {"metadata": {"name": "data", "namespace": "shop"}})
    claims = "/api/v1/persistentvolumeclaims"
    assert names(await get(client, claims)) == ["data"]
    refused = await get(client, f"{claims}?watch=true")
    assert (refused["code"], refused["reason"]) == (403, "Forbidden")
    assert 'cannot watch resource "persistentvolumeclaims" in API group ""' in refused["message"]


# ---- watches


async def test_a_watch_without_a_version_begins_with_what_is_there(server, client) -> None:
    server.add_pod(pod("a"))
    (first,) = await events(client, "", 1)
    assert (first["type"], first["object"]["kind"], first["object"]["metadata"]["name"]) == ("ADDED", "Pod", "a")


async def test_initial_events_end_with_a_marked_bookmark(server, client) -> None:
    server.add_pod(pod("a"))
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    _, bookmark = await events(client, query, 2)
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_from_a_version_replays_what_came_after_it(server, client) -> None:
    version = server.add_pod(pod("a"))["metadata"]["resourceVersion"]
    server.add_pod(pod("b"))
    server.bind("a", "worker-1")
    server.remove("pods", "b")
    seen = await events(client, f"resourceVersion={version}", 3)
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in seen] == [
        ("ADDED", "b"),
        ("MODIFIED", "a"),
        ("DELETED", "b"),
    ]


async def test_an_object_that_leaves_the_selection_is_deleted_and_one_that_enters_is_added(server, client) -> None:
    version = server.add_pod(pod("a"))["metadata"]["resourceVersion"]
    bound = server.bind("a", "worker-1")["metadata"]["resourceVersion"]
    (left,) = await events(client, f"resourceVersion={version}&fieldSelector=spec.nodeName=", 1)
    (entered,) = await events(client, f"resourceVersion={version}&fieldSelector=spec.nodeName=worker-1", 1)
    assert left["type"] == "DELETED"
    assert "nodeName" not in left["object"]["spec"]  # as it last was inside, under the version of the change
    assert left["object"]["metadata"]["resourceVersion"] == bound
    assert (entered["type"], entered["object"]["spec"]["nodeName"]) == ("ADDED", "worker-1")


async def test_a_watch_hears_of_changes_while_it_is_open(server, client) -> None:
    async with client.get("/api/v1/pods?watch=1") as response:
        server.add_pod(pod("a"))
        assert json.loads(await response.content.readline())["type"] == "ADDED"
        server.bind("a", "worker-1")
        assert json.loads(await response.content.readline())["type"] == "MODIFIED"


async def test_a_watch_from_before_a_compaction_is_told_410_in_the_stream(server, client) -> None:
    version = server.add_pod(pod("a"))["metadata"]["resourceVersion"]
    server.add_pod(pod("b"))
    server.compact()
    (event,) = await events(client, f"resourceVersion={version}", 1)
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert server.expired == {"pods": 1}


async def test_a_watch_ends_by_itself_after_its_time_with_a_last_bookmark(server, client) -> None:
    server.add_pod(pod("a"))
    async with client.get("/api/v1/pods?watch=1&timeoutSeconds=0&allowWatchBookmarks=true") as response:
        lines = (await response.read()).splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["ADDED", "BOOKMARK"]


async def test_idle_watches_get_bookmarks_of_the_current_version() -> None:
    async with EmbeddedApiServer(bookmark_seconds=0.0) as server, aiohttp.ClientSession(server.url) as client:
        node = server.add_node({"metadata": {"name": "n"}})
        (bookmark,) = await events(client, "resourceVersion=1&allowWatchBookmarks=true", 1)
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"]["resourceVersion"] == node["metadata"]["resourceVersion"]


# ---- faults


async def test_ordered_failures_come_first_and_end(server, client) -> None:
    server.add_pod(pod("a"))
    server.fail_next(1, status=429, headers={"Retry-After": "1"}, match="binding")
    async with client.post(f"{PODS}/a/binding", json=binding("a")) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "1")
        assert (await response.json())["reason"] == "TooManyRequests"
    assert (await post(client, f"{PODS}/a/binding", binding("a")))[0] == 201


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
async def test_a_dropped_request_has_no_answer_whether_applied_or_not(server, client, applied: bool) -> None:
    server.add_pod(pod("a"))
    server.drop_next(1, match="binding", after_applying=applied)
    with pytest.raises(aiohttp.ClientConnectionError):
        await post(client, f"{PODS}/a/binding", binding("a"))
    assert ("nodeName" in server.get("pods", "a")["spec"]) is applied


async def test_dropped_watches_break_and_can_be_opened_again(server, client) -> None:
    server.add_pod(pod("a"))
    async with client.get("/api/v1/pods?watch=1") as response:
        await response.content.readline()
        assert server.drop_watches() == 1
        with pytest.raises(aiohttp.ClientError):
            await response.content.read()
    assert (await events(client, "", 1))[0]["type"] == "ADDED"


async def test_a_frozen_watch_is_silent_until_it_thaws(server, client) -> None:
    server.freeze_watches()
    async with client.get("/api/v1/pods?watch=1") as response:
        server.add_pod(pod("a"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.readline(), 0.1)
        server.freeze_watches(False)
        assert json.loads(await response.content.readline())["object"]["metadata"]["name"] == "a"


async def test_only_an_accepted_token_gets_in_and_tokens_can_be_rotated(server, client) -> None:
    server.tokens = {"old"}
    old, new = ({"Authorization": f"Bearer {token}"} for token in ("old", "new"))
    assert (await get(client, "/api/v1/pods", headers=old))["kind"] == "PodList"
    server.tokens = {"new"}
    assert (await get(client, "/api/v1/pods", headers=old))["code"] == 401
    assert (await get(client, "/api/v1/pods", headers=new))["kind"] == "PodList"


async def test_requests_are_counted_by_verb_and_kind_refused_ones_too(server, client) -> None:
    server.add_pod(pod("a"))
    await get(client, "/api/v1/pods")
    await events(client, "", 1)
    await post(client, f"{PODS}/a/binding", binding("a", uid="x"))
    expected = {("list", "pods"): 1, ("watch", "pods"): 1, ("create", "pods/binding"): 1}
    assert server.requests == expected


async def test_a_server_that_was_stopped_comes_back_on_its_port_with_its_objects(server, client) -> None:
    server.add_pod(pod("a"))
    url = server.url
    await server.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await get(client, "/api/v1/pods")
    await server.start()
    assert server.url == url
    assert names(await get(client, "/api/v1/pods")) == ["a"]


async def test_the_kubeconfig_names_the_server_and_an_accepted_token(server, tmp_path: Path) -> None:
    server.tokens = {"t1"}
    config = yaml.safe_load(server.write_kubeconfig(tmp_path / "kubeconfig").read_text())
    assert config["clusters"][0]["cluster"]["server"] == server.url
    assert config["users"][0]["user"] == {"token": "t1"}
