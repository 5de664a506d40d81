"""The requests of KubeClient, byte for byte, and the errors that responses are translated into."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from peaks_scheduler.errors import (
    Ambiguous,
    Conflict,
    Denied,
    Forbidden,
    KubeError,
    MalformedResponse,
    NotFound,
    TooManyRequests,
    Unavailable,
)
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.http.connection import connect
from tests.support.proxy_server import ProxyServer
from tests.support.recording_server import Answer, Asked, RecordingServer, status, write_kubeconfig


@pytest.fixture
async def server() -> AsyncIterator[RecordingServer]:
    async with RecordingServer() as running:
        yield running


@pytest.fixture(params=["straight", "by a proxy"])
async def client(
    request: pytest.FixtureRequest, server: RecordingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[KubeClient]:
    """A client in either way: the two send writes differently."""
    monkeypatch.setattr("peaks_scheduler.kube.http.connection.REFUSED_PAUSE", 0.0)
    async with ProxyServer(server.port, socks=True) as by:
        proxy = "" if request.param == "straight" else f"socks5://127.0.0.1:{by.port}"
        connection = await connect(write_kubeconfig(tmp_path, server.url, proxy=proxy, token="abc"))
        yield KubeClient(connection, "Peaks", "me", timeout=5.0)
        await connection.close()
        assert proxy or not by.asked
        assert by.asked or not (proxy and server.asked), "not by the proxy"


def saying(*answers: web.Response | Any) -> Answer:
    """Gives these answers in turn; an object that is not a response is sent as JSON with 200."""
    turns = iter(answers)

    async def answer(_: Asked) -> web.StreamResponse:
        turn = next(turns)
        return turn if isinstance(turn, web.Response) else web.json_response(turn)

    return answer


def bind(client: KubeClient) -> Awaitable[None]:
    return client.bind("default", "web-0", "uid-1", "node-1", {"peaks-scheduler/decision": "{}"})


class TestWrites:
    async def test_a_bind_names_pod_uid_node_and_annotations(self, client: KubeClient, server: RecordingServer) -> None:
        await bind(client)
        (asked,) = server.asked
        assert (asked.method, asked.path) == ("POST", "/api/v1/namespaces/default/pods/web-0/binding")
        assert asked.headers["Content-Type"] == "application/json"
        assert asked.json == {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {
                "name": "web-0",
                "namespace": "default",
                "uid": "uid-1",
                "annotations": {"peaks-scheduler/decision": "{}"},
            },
            "target": {"apiVersion": "v1", "kind": "Node", "name": "node-1"},
        }

    async def test_a_bind_goes_out_while_the_fence_is_open(self, client: KubeClient, server: RecordingServer) -> None:
        await client.bind("default", "web-0", "uid-1", "node-1", {}, fence=lambda: True)
        assert [asked.json["target"]["name"] for asked in server.asked] == ["node-1"]
        assert server.asked[0].headers["Content-Type"] == "application/json"

    async def test_a_bind_that_reaches_the_fence_too_late_is_not_sent(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        with pytest.raises(Unavailable, match="the write fence is closed"):
            await client.bind("default", "web-0", "uid-1", "node-1", {}, fence=lambda: False)
        await bind(client)  # the next bind still works
        assert len(server.asked) == 1

    @pytest.mark.parametrize(
        ("transition", "generation", "extra"),
        [
            pytest.param(None, None, {}, id="unchanged status keeps its time"),
            pytest.param("2026-11-22T10:00:00Z", None, {"lastTransitionTime": "2026-11-22T10:00:00Z"}, id="new"),
            pytest.param(None, 3, {"observedGeneration": 3}, id="generation"),
        ],
    )
    async def test_the_condition_is_patched_as_kube_scheduler_writes_it(
        self,
        client: KubeClient,
        server: RecordingServer,
        transition: str | None,
        generation: int | None,
        extra: dict[str, Any],
    ) -> None:
        server.answer = saying({})
        await client.patch_pod_scheduled(
            "default", "web-0", "uid-1", "Unschedulable", "0/1 nodes are available", transition, generation
        )
        (asked,) = server.asked
        assert (asked.method, asked.path) == ("PATCH", "/api/v1/namespaces/default/pods/web-0/status")
        assert asked.headers["Content-Type"] == "application/strategic-merge-patch+json"
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available",
            "lastProbeTime": None,
        }
        assert asked.json == {"metadata": {"uid": "uid-1"}, "status": {"conditions": [condition | extra]}}

    async def test_a_condition_for_a_pod_whose_name_has_passed_on_is_a_conflict(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        # the message of kube-apiserver 1.36.3
        message = 'Pod "web-0" is invalid: metadata.uid: Invalid value: "uid-1": field is immutable'
        server.answer = saying(status(422, message), status(422, 'Pod "web-0" is invalid: status: unknown'))
        with pytest.raises(Conflict, match="immutable"):
            await client.patch_pod_scheduled("default", "web-0", "uid-1", "Unschedulable", "no")
        with pytest.raises(KubeError, match="unknown") as caught:
            await client.patch_pod_scheduled("default", "web-0", "uid-1", "Unschedulable", "no")
        assert type(caught.value) is KubeError

    async def test_an_event_goes_out_as_it_was_encoded(self, client: KubeClient, server: RecordingServer) -> None:
        await client.create_event("default", b'{"an": "event"}')
        (asked,) = server.asked
        assert (asked.path, asked.body) == ("/apis/events.k8s.io/v1/namespaces/default/events", b'{"an": "event"}')

    async def test_leases_are_read_made_and_replaced(self, client: KubeClient, server: RecordingServer) -> None:
        stored = {"metadata": {"resourceVersion": "7"}}
        server.answer = saying(stored, stored, stored)
        assert await client.get_lease("ns", "it") == stored
        assert await client.create_lease("ns", {"spec": {}}) == stored
        assert await client.replace_lease("ns", "it", {"spec": {}}) == stored
        leases = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"
        assert [(asked.method, asked.path) for asked in server.asked] == [
            ("GET", f"{leases}/it"),
            ("POST", leases),
            ("PUT", f"{leases}/it"),
        ]

    async def test_a_claim_is_patched_under_the_version_that_was_seen_and_comes_back_as_stored(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        server.answer = saying({"metadata": {"resourceVersion": "8"}})
        change = {"metadata": {"uid": "u", "resourceVersion": "7", "annotations": {"a": "b"}}}
        assert await client.patch_claim("default", "data", change) == {"metadata": {"resourceVersion": "8"}}
        (asked,) = server.asked
        assert (asked.method, asked.path) == ("PATCH", "/api/v1/namespaces/default/persistentvolumeclaims/data")
        assert asked.headers["Content-Type"] == "application/merge-patch+json"
        assert asked.json == change

    async def test_a_volume_is_patched_likewise_and_not_behind_the_fence(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        server.answer = saying({"metadata": {"resourceVersion": "8"}})
        await client.patch_volume("disk", {"spec": {}}, lambda: True)
        with pytest.raises(Unavailable, match="the write fence is closed"):
            await client.patch_volume("disk", {"spec": {}}, lambda: False)
        assert [(asked.method, asked.path) for asked in server.asked] == [("PATCH", "/api/v1/persistentvolumes/disk")]

    async def test_a_claim_whose_name_has_passed_on_is_a_conflict(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        message = 'PersistentVolumeClaim "data" is invalid: metadata.uid: Invalid value: "u": field is immutable'
        server.answer = saying(status(422, message))
        with pytest.raises(Conflict, match="immutable"):
            await client.patch_claim("default", "data", {})

    @pytest.mark.parametrize("node", ["worker-1", None], ids=["set", "taken away"])
    async def test_a_node_is_nominated_in_the_pods_status(
        self, client: KubeClient, server: RecordingServer, node: str | None
    ) -> None:
        server.answer = saying({})
        await client.nominate("default", "web-0", "uid-1", node)
        (asked,) = server.asked
        assert (asked.method, asked.path) == ("PATCH", "/api/v1/namespaces/default/pods/web-0/status")
        assert asked.headers["Content-Type"] == "application/strategic-merge-patch+json"
        assert asked.json == {"metadata": {"uid": "uid-1"}, "status": {"nominatedNodeName": node}}

    async def test_one_connection_serves_many_binds(self, client: KubeClient, server: RecordingServer) -> None:
        for _ in range(20):
            await bind(client)
        assert len({asked.peer for asked in server.asked}) == 1


class TestReads:
    async def test_a_pod_that_is_not_there_is_none(self, client: KubeClient, server: RecordingServer) -> None:
        server.answer = saying({"metadata": {"name": "web-0"}}, status(404))
        assert await client.get_pod("default", "web-0") == {"metadata": {"name": "web-0"}}
        assert await client.get_pod("default", "web-0") is None

    async def test_pending_pods_are_chosen_by_the_server(self, client: KubeClient, server: RecordingServer) -> None:
        pods = [{"metadata": {"uid": f"u{i}", "namespace": "default", "name": f"web-{i}"}} for i in range(2)]
        server.answer = saying({"metadata": {"continue": "more"}, "items": pods[:1]}, {"items": pods[1:]})
        listing = await client.list_pending()
        assert listing.objects == {"u0": ("default", "web-0"), "u1": ("default", "web-1")}
        first, second = server.asked
        assert first.query["fieldSelector"] == "spec.schedulerName=Peaks,spec.nodeName=,status.phase=Pending"
        assert "as=PartialObjectMetadataList" in first.headers["Accept"]
        assert second.query["continue"] == "more"

    async def test_metadata_comes_page_by_page_and_without_contents(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        def item(i: int) -> dict[str, Any]:
            return {"metadata": {"uid": f"u{i}", "namespace": "default", "name": f"web-{i}"}}

        server.answer = saying(
            {"metadata": {"resourceVersion": "5", "continue": "more/=&"}, "items": [item(0), item(1)]},
            {"metadata": {"resourceVersion": "5"}, "items": [item(2)]},
        )
        listing = await client.list_pending()
        assert listing.resource_version == "5"
        assert listing.objects == {f"u{i}": ("default", f"web-{i}") for i in range(3)}
        first, second = server.asked
        assert "as=PartialObjectMetadataList" in first.headers["Accept"]
        assert second.query["continue"] == "more/=&"

    async def test_a_list_that_expired_between_pages_is_begun_again(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        first = {"metadata": {"resourceVersion": "5", "continue": "more"}, "items": [{"metadata": {"name": "a"}}]}
        last = {"metadata": {"resourceVersion": "9"}, "items": [{"metadata": {"name": "b"}}]}
        server.answer = saying(first, status(410, "expired"), first, last)
        names = [pod["metadata"]["name"] for pod in await client.list_objects("/api/v1/pods")]
        assert names == ["a", "b"]

    async def test_discovery_names_what_a_group_has_and_nothing_of_a_group_that_is_not_there(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        server.answer = saying({"resources": [{"name": "csinodes"}, {"name": "csidrivers"}]}, status(404))
        assert await client.served("/apis/storage.k8s.io/v1") == {"csinodes", "csidrivers"}
        assert await client.served("/apis/storage.k8s.io/v1") == frozenset()

    async def test_what_others_serve_behind_the_api_server_is_read_as_it_is(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        server.answer = saying(web.json_response({"kind": "NodeMetricsList", "items": [{"usage": {"cpu": "1501m"}}]}))
        found = await client.get_json("/apis/metrics.k8s.io/v1beta1/nodes", {"limit": "500", "continue": "a b"})
        assert found["items"] == [{"usage": {"cpu": "1501m"}}]
        (asked,) = server.asked
        assert (asked.path, asked.query) == ("/apis/metrics.k8s.io/v1beta1/nodes", {"limit": "500", "continue": "a b"})

    async def test_one_object_is_enough_to_see_whether_a_list_is_answered(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        server.answer = saying({"items": []}, status(403, "may not"))
        await client.peek("/api/v1/persistentvolumes")
        with pytest.raises(Forbidden):
            await client.peek("/api/v1/persistentvolumes")
        assert server.asked[0].query == {"limit": "1"}

    async def test_a_right_is_asked_for_and_counts_as_given_where_the_server_does_not_say(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        server.answer = saying({"status": {"allowed": True}}, {"status": {"allowed": False}}, status(403))
        answers = [await client.may("watch", "storage.k8s.io", "csinodes") for _ in range(3)]
        assert answers == [True, False, True]
        asked = {"verb": "watch", "group": "storage.k8s.io", "resource": "csinodes"}
        assert server.asked[0].json["spec"] == {"resourceAttributes": asked}

    async def test_a_review_tells_what_the_server_says_and_that_it_says_nothing(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        server.answer = saying({"status": {"allowed": True}}, {"status": {"allowed": False}}, {}, status(403))
        right = {"verb": "create", "resource": "pods", "subresource": "binding", "namespace": "ours", "name": "web-0"}
        assert [await client.review(right) for _ in range(3)] == [True, False, None]
        assert server.asked[0].path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        assert server.asked[0].json["spec"] == {"resourceAttributes": right}
        with pytest.raises(Forbidden):
            await client.review(right)

    async def test_our_user_name_is_the_one_that_the_server_knows(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        server.answer = saying({"status": {"userInfo": {"username": "jane"}}}, {"status": {}})
        assert await client.username() == "jane"
        assert server.asked[0].path == "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        assert server.asked[0].json == {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        with pytest.raises(MalformedResponse):
            await client.username()

    async def test_listed_objects_know_what_they_are(self, client: KubeClient, server: RecordingServer) -> None:
        server.answer = saying({"kind": "NodeList", "apiVersion": "v1", "items": [{"metadata": {"name": "n"}}]})
        (node,) = await client.list_objects("/api/v1/nodes")
        assert (node["kind"], node["apiVersion"]) == ("Node", "v1")

    async def test_an_empty_list_may_be_null(self, client: KubeClient, server: RecordingServer) -> None:
        server.answer = saying({"kind": "NodeList", "items": None})
        assert await client.list_objects("/api/v1/nodes") == []

    @pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
    async def test_an_answer_that_is_no_object_is_an_error(
        self, client: KubeClient, server: RecordingServer, body: bytes
    ) -> None:
        server.answer = saying(web.Response(body=body))
        with pytest.raises(KubeError, match="expected"):
            await client.version()


class TestErrors:
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (400, KubeError),
            (401, Forbidden),
            (403, Forbidden),
            (404, NotFound),
            (409, Conflict),
            (422, KubeError),
            (500, Ambiguous),
            (502, Ambiguous),
            (503, Unavailable),
            (504, Ambiguous),
        ],
    )
    async def test_a_refused_write_says_what_was_refused_and_why(
        self, client: KubeClient, server: RecordingServer, code: int, kind: type[KubeError]
    ) -> None:
        server.answer = saying(status(code, "because"))
        with pytest.raises(KubeError, match=f"POST .*/web-0/binding: {code} because") as caught:
            await bind(client)
        assert (type(caught.value), caught.value.status) == (kind, code)

    @pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 422, 429, 500, 503, 504])
    @pytest.mark.parametrize(
        "message",
        [
            # apiserver v0.36.3: statuserror.go, util/webhook/error.go, policy/validating and policy/generic
            'admission webhook "bind.example.com" denied the request: not today',
            'admission webhook "bind.example.com" denied the request without explanation',
            'Internal error occurred: failed calling webhook "x": failed to call webhook: Post "https://[::1]:9/": EOF',
            "pods \"web-0\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
            "pods \"web-0\" is forbidden: policy 'p' with binding 'b' denied request: expression 'x' resulted in error",
        ],
        ids=["webhook", "webhook without a word", "webhook that is down", "policy", "policy that breaks"],
    )
    async def test_what_admission_refuses_was_not_done_whatever_status_it_chose(
        self, client: KubeClient, server: RecordingServer, code: int, message: str
    ) -> None:
        server.answer = saying(*[status(code, message)] * 5)
        with pytest.raises(Denied) as error:
            await bind(client)
        assert (error.value.status, error.value.said) == (code, message)

    async def test_the_servers_words_can_be_sent_on_whatever_they_are(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        body = '{"kind": "Status", "message": "half \\ud83d a character,\\nand a line", "code": 422}'
        server.answer = saying(web.Response(status=422, text=body, content_type="application/json"))
        with pytest.raises(KubeError) as error:
            await bind(client)
        assert error.value.said == "half ? a character,\nand a line"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('{"message": {"no": "text"}}', '{"message": {"no": "text"}}'),
            ("<html>\n <b>Bad gateway</b>", "<html> <b>Bad gateway</b>"),
            ("", "no message"),
            ("[1]", "[1]"),
        ],
        ids=["no text", "a proxy's page", "nothing", "a list"],
    )
    async def test_an_answer_that_is_no_status_is_quoted(
        self, client: KubeClient, server: RecordingServer, text: str, said: str
    ) -> None:
        server.answer = saying(web.Response(status=403, text=text))
        with pytest.raises(Forbidden) as error:
            await bind(client)
        assert error.value.said == said

    @pytest.mark.parametrize("code", [500, 502, 503, 504])
    async def test_a_read_that_fails_is_never_ambiguous(
        self, client: KubeClient, server: RecordingServer, code: int
    ) -> None:
        server.answer = saying(status(code))
        with pytest.raises(Unavailable):
            await client.version()

    @pytest.mark.parametrize(
        ("headers", "body", "seconds"),
        [
            pytest.param({"Retry-After": "7"}, {}, 7.0, id="header"),
            pytest.param({}, {"details": {"retryAfterSeconds": 3}}, 3.0, id="status details"),
            pytest.param({}, {}, 1.0, id="not said"),
            pytest.param({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, {}, 1.0, id="a date"),
            pytest.param({"Retry-After": "1e300"}, {}, 10.0, id="for ever"),
            pytest.param({"Retry-After": "inf"}, {}, 10.0, id="without end"),
            pytest.param({"Retry-After": "-5"}, {}, 0.0, id="less than nothing"),
            pytest.param({"Retry-After": "nan"}, {}, 1.0, id="no number"),
            pytest.param({"Retry-After": "9" * 5000}, {}, 10.0, id="many digits"),
            pytest.param({}, {"details": {"retryAfterSeconds": 10**400}}, 1.0, id="more than a float holds"),
            pytest.param({}, {"details": {"retryAfterSeconds": [5]}}, 1.0, id="a list"),
            pytest.param({}, {"details": 5}, 1.0, id="details that are none"),
            pytest.param({}, [[]], 1.0, id="a status that is none"),
        ],
    )
    async def test_too_many_requests_says_when_to_come_back(
        self, client: KubeClient, server: RecordingServer, headers: dict[str, str], body: Any, seconds: float
    ) -> None:
        server.answer = saying(web.json_response(body, status=429, headers=headers))
        with pytest.raises(TooManyRequests) as caught:
            await bind(client)
        assert caught.value.retry_after == seconds

    @pytest.mark.parametrize("client", ["straight"], indirect=True)  # a proxy is there
    async def test_a_server_that_is_not_there_has_done_nothing(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        await server.__aexit__()
        with pytest.raises(Unavailable, match="cannot connect to"):
            await bind(client)

    @pytest.mark.parametrize("call", [bind, KubeClient.version], ids=["write", "read"])
    async def test_a_connection_that_breaks_before_the_answer_leaves_only_a_write_open(
        self, client: KubeClient, server: RecordingServer, call: Callable[[KubeClient], Awaitable[Any]]
    ) -> None:
        async def hang_up(_: Asked) -> web.StreamResponse:
            raise asyncio.CancelledError  # the server closes the connection without a response

        server.answer = hang_up
        with pytest.raises(Ambiguous if call is bind else Unavailable):
            await call(client)

    async def test_a_write_without_an_answer_in_time_is_ambiguous(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        asleep = asyncio.Event()

        async def never(_: Asked) -> web.StreamResponse:
            await asleep.wait()
            return status(201)

        server.answer = never
        hasty = KubeClient(client.connection, "Peaks", "me", timeout=0.05)
        with pytest.raises(Ambiguous, match=r"no answer within 0\.05 s|time is up"):
            await bind(hasty)
        asleep.set()

    async def test_a_bind_whose_answer_breaks_off_after_its_201_is_bound(
        self, client: KubeClient, server: RecordingServer
    ) -> None:
        async def break_off(_: Asked) -> web.StreamResponse:
            return _Broken(status=201, headers={"Content-Length": "100"})

        server.answer = break_off
        await bind(client)

    async def test_after_closing_nothing_is_sent(self, client: KubeClient, server: RecordingServer) -> None:
        await client.connection.close()
        with pytest.raises(Unavailable, match="closed"):
            await bind(client)
        assert server.asked == []


class _Broken(web.StreamResponse):
    """Headers that promise a body, and then a closed connection."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        writer = await super().prepare(request)
        assert request.transport is not None
        request.transport.close()
        return writer
