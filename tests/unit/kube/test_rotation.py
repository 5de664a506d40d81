"""Certificates that change: new requests use the new one, and no connection keeps the old one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from peaks_scheduler.kube.http import rotating_connector
from peaks_scheduler.kube.http.connection import Connection, as_kopf_login, connect
from peaks_scheduler.kube.http.outgoing import NoAnswerError
from peaks_scheduler.kube.login import credentials
from tests.support.both_ways import WAYS, read
from tests.support.kubeconfig_cases import EXEC_V1, World
from tests.support.tls_recorder import Seen, TlsRecorder

FILES = {"client-certificate": "client.pem", "client-key": "client.key"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses: files are checked at every request, a 401 is passed on at once."""
    monkeypatch.setattr(credentials, "LOOK_EVERY", 0.0)
    monkeypatch.setattr("peaks_scheduler.kube.http.connection.REFUSED_PAUSE", 0.0)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(ca: trustme.CA) -> Iterator[TlsRecorder]:
    with TlsRecorder(ca) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, server: TlsRecorder, ca: trustme.CA) -> World:
    made = World(tmp_path, server.url, ca)
    use(made, "admin")
    return made


def use(world: World, name: str, *parts: str) -> None:
    """Use the certificate of ``name``, or only these parts of it."""
    for part in parts or ("pem", "key"):
        new = world.folder / "new"
        new.write_bytes((world.folder / f"{name}.{part}").read_bytes())
        new.replace(world.folder / f"client.{part}")


@pytest.fixture(autouse=True, params=WAYS.values(), ids=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test asks in either way."""
    monkeypatch.setattr(f"{__name__}.asking", request.param)


asking = read


async def asks(connection: Connection) -> int:
    return await asking(connection, "/version")


def shown(server: TlsRecorder) -> list[str | None]:
    return [seen.certificate for seen in server.seen]


async def test_a_certificate_file_that_is_replaced_is_shown_with_the_next_request(
    server: TlsRecorder, world: World
) -> None:
    connection = await connect(str(world.write(world.entries(user=FILES))), environ={})
    await asks(connection)
    use(world, "other")
    await asks(connection)
    await connection.close()
    assert shown(server) == ["admin", "other"]


async def test_a_kubeconfig_whose_certificate_data_was_renewed_is_read_again(server: TlsRecorder, world: World) -> None:
    def data(name: str) -> dict[str, str]:
        return {"client-certificate-data": world.data(f"{name}.pem"), "client-key-data": world.data(f"{name}.key")}

    connection = await connect(str(world.write(world.entries(user=data("admin")))), environ={})
    await asks(connection)
    world.write(world.entries(user=data("other")))
    await asks(connection)
    await connection.close()
    assert shown(server) == ["admin", "other"]


async def test_a_refused_certificate_is_read_again_and_the_request_repeated(
    server: TlsRecorder, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "LOOK_EVERY", 3600.0)  # the change is not noticed by itself
    connection = await connect(str(world.write(world.entries(user=FILES))), environ={})
    use(world, "other")
    server.status = lambda seen: 200 if seen.certificate == "other" else 401
    assert await asks(connection) == 200
    await connection.close()
    assert shown(server) == ["admin", "other"]


async def test_a_server_that_ends_the_handshake_over_our_certificate_is_asked_again_with_the_new_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "LOOK_EVERY", 3600.0)
    others = trustme.CA()
    later = others.issue_cert("later@example.org", common_name="later")
    # as a load balancer does that verifies clients itself: it knows the new authority alone
    with TlsRecorder(world.ca, clients=others) as strict:
        strict.context.verify_mode = ssl.CERT_REQUIRED
        world.server = strict.url
        connection = await connect(str(world.write(world.entries(user=FILES))), environ={})
        later.cert_chain_pems[0].write_to_path(world.folder / "client.pem")
        later.private_key_pem.write_to_path(world.folder / "client.key")
        try:
            assert await answered(connection) == 200
        finally:
            await connection.close()
        assert shown(strict) == ["later"]


async def answered(connection: Connection) -> int:
    """Status of the first try that is answered: the end of the connection may overtake the alert that says why, and
    whoever asks then tries again."""
    for _ in range(20):
        with contextlib.suppress(aiohttp.ClientOSError, NoAnswerError):
            return await asks(connection)
    return await asks(connection)


async def test_half_a_rotation_leaves_the_old_certificate_in_force(
    server: TlsRecorder, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    connection = await connect(str(world.write(world.entries(user=FILES))), environ={})
    use(world, "other", "pem")  # its key comes a moment later
    await asks(connection)
    await asks(connection)
    use(world, "other", "key")
    await asks(connection)
    await connection.close()
    assert shown(server) == ["admin", "admin", "other"]
    assert [record.message for record in caplog.records].count("credentials not renewed") == 1


async def test_an_authority_that_is_replaced_is_trusted_with_the_next_request(
    world: World, server: TlsRecorder
) -> None:
    connection = await connect(str(world.write(world.entries(user={"token": "abc"}))), environ={})
    await asks(connection)
    new = trustme.CA()
    new.issue_cert("localhost", "127.0.0.1").configure_cert(server.context)
    new.cert_pem.write_to_path(world.folder / "ca.pem")
    assert await asks(connection) == 200
    await connection.close()


def another_authority(server: TlsRecorder) -> trustme.CA:
    """The server comes back with a certificate that a new authority has signed."""
    new = trustme.CA()
    new.issue_cert("localhost", "127.0.0.1").configure_cert(server.context)
    return new


async def test_an_authority_that_changed_without_a_trace_is_found_when_the_server_is_not_trusted(
    world: World, server: TlsRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "LOOK_EVERY", 3600.0)  # the change is not noticed by itself
    connection = await connect(str(world.write(world.entries(user={"token": "abc"}))), environ={})
    another_authority(server).cert_pem.write_to_path(world.folder / "ca.pem")
    assert await asks(connection) == 200
    await connection.close()


async def test_where_the_machines_own_authorities_count_theirs_are_looked_at_again(
    world: World, server: TlsRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(world.folder / "ca.pem"))
    cluster = {"server": server.url}
    connection = await connect(str(world.write(world.entries(cluster=cluster))), environ={})
    assert await asks(connection) == 200
    new = another_authority(server)
    (world.folder / "ca.pem").write_bytes(new.cert_pem.bytes())
    async with connection.session.get(connection.url("/version"), headers={"Connection": "close"}) as answer:
        await answer.read()  # on the connection that is open, so that the next request needs another
    assert await asks(connection) == 200
    await connection.close()


def mounted(folder: Path, version: str, authority: bytes) -> None:
    """A service account as the kubelet mounts and renews it: files behind a symbolic link that is replaced."""
    (folder / version).mkdir(parents=True)
    (folder / version / "token").write_text("abc")
    (folder / version / "ca.crt").write_bytes(authority)
    (folder / "new").symlink_to(version)
    (folder / "new").replace(folder / "..data")
    for name in ("token", "ca.crt"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)


async def test_in_a_pod_a_new_authority_counts_at_once_and_half_a_one_is_passed_over_and_said_once(
    server: TlsRecorder, ca: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    account = tmp_path / "account"
    mounted(account, "..1", ca.cert_pem.bytes())
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
    connection = await connect(environ=environ, service_account=account)
    new = trustme.CA()
    mounted(account, "..2", new.cert_pem.bytes()[:300])
    assert [await asks(connection) for _ in range(3)] == [200] * 3
    assert [record.message for record in caplog.records].count("credentials not renewed") == 1
    new.issue_cert("localhost", "127.0.0.1").configure_cert(server.context)
    mounted(account, "..3", new.cert_pem.bytes())
    assert await asks(connection) == 200
    await connection.close()


async def test_a_plugin_whose_certificate_is_refused_is_run_again(server: TlsRecorder, world: World) -> None:
    def answer(name: str) -> str:
        chain, key = ((world.folder / f"{name}.{part}").read_text() for part in ("pem", "key"))
        status = {"clientCertificateData": chain, "clientKeyData": key}
        return json.dumps({"apiVersion": EXEC_V1["apiVersion"], "kind": "ExecCredential", "status": status})

    (world.folder / "answer").write_text(answer("admin"))
    plugin = {**EXEC_V1, "command": "cat", "args": [str(world.folder / "answer")]}
    connection = await connect(str(world.write(world.entries(user={"exec": plugin}))), environ={})
    await asks(connection)
    (world.folder / "answer").write_text(answer("other"))
    server.status = lambda seen: 200 if seen.certificate == "other" else 401
    assert await asks(connection) == 200
    await connection.close()
    assert shown(server) == ["admin", "admin", "other"]


async def test_a_kubeconfig_that_is_switched_to_another_cluster_does_not_send_its_token_there(
    server: TlsRecorder, world: World
) -> None:
    other = world.entries("y", user={"token": "of-another-cluster"}, cluster={"server": "https://127.0.0.1:1"})
    both = world.entries("x", user={"token": "abc"})
    whole = {key: both[key] + other[key] for key in both}
    connection = await connect(str(world.write(whole)), environ={})
    await asks(connection)
    world.write(whole, current="y")
    await asks(connection)
    whole["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    whole["users"][0]["user"]["token"] = "of-the-new-server"
    world.write(whole)
    await asks(connection)
    await connection.close()
    assert [seen.authorization for seen in server.seen] == ["Bearer abc"] * 3


# --- what is open -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def watched(ca: trustme.CA) -> AsyncIterator[tuple[str, list[str | None], asyncio.Event]]:
    """A server whose /watch never ends and whose /slow ends at an event: (URL, clients, event)."""
    who: list[str | None] = []
    go_on = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        subject = (request.transport.get_extra_info("peercert") or {}).get("subject", ())
        who.append(next((value for part in subject for key, value in part if key == "commonName"), None))
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun\n")
        if request.path == "/slow":
            await go_on.wait()
        elif request.path == "/watch":
            await asyncio.Event().wait()
        await response.write_eof()
        return response

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(app, host="127.0.0.1", scheme="https")
    await server.start_server(ssl=context)
    yield f"https://127.0.0.1:{server.port}", who, go_on
    await server.close()


async def test_watches_end_and_begin_anew_while_requests_under_way_end_in_peace(
    watched: tuple[str, list[str | None], asyncio.Event], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotating_connector, "GRACE", 0.5)
    world.server, who, go_on = watched
    connection = await connect(str(world.write(world.entries(user=FILES))), environ={})
    kopf = as_kopf_login(connection).aiohttp_session
    async with asyncio.timeout(20):
        watch = await kopf.get(connection.url("/watch"))
        slow = await connection.session.get(connection.url("/slow"))
        assert await watch.content.readline() == b"begun\n"
        use(world, "other")
        await asks(connection)
        go_on.set()
        assert await slow.read() == b"begun\n"
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
            await watch.content.readline()
        again = await kopf.get(connection.url("/watch"))
    watch.close()
    again.close()
    await kopf.close()
    await connection.close()
    assert who == ["admin", "admin", "other", "other"]


async def test_watches_go_on_when_only_the_authority_has_changed(
    watched: tuple[str, list[str | None], asyncio.Event], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotating_connector, "GRACE", 0.001)
    world.server, _, go_on = watched
    connection = await connect(str(world.write(world.entries(user=FILES))), environ={})
    async with asyncio.timeout(20):
        watch = await connection.session.get(connection.url("/slow"))
        assert await watch.content.readline() == b"begun\n"
        trustme.CA().cert_pem.write_to_path(world.folder / "ca.pem", append=True)
        for _ in range(20):  # each takes longer than the time of grace
            await asks(connection)
        go_on.set()
        assert await watch.read() == b""
        go_on.clear()
        # and with a new certificate of ours even one whose authority had changed before is cut
        slow = await connection.session.get(connection.url("/slow"))
        assert await slow.content.readline() == b"begun\n"
        trustme.CA().cert_pem.write_to_path(world.folder / "ca.pem", append=True)
        await asks(connection)
        use(world, "other")
        await asks(connection)
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
            await slow.read()
    await connection.close()


async def test_an_idle_connection_with_the_old_certificate_is_not_used_again(server: TlsRecorder, world: World) -> None:
    connection = await connect(str(world.write(world.entries(user=FILES))), environ={})
    kopf = as_kopf_login(connection).aiohttp_session
    for name in ("admin", "other", "admin"):
        use(world, name)
        await asks(connection)
        async with kopf.get(connection.url("/version")) as answer:
            await answer.read()
    await kopf.close()
    await connection.close()
    assert shown(server) == ["admin", "admin", "other", "other", "admin", "admin"]


# --- expiry of what a plugin gave -------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def expiring(world: World) -> dict[str, Any]:
    """A plugin that returns token-1, token-2, ... with the expiry in the file ``until``, and counts its runs."""
    status = {"token": "token-NUMBER", "expirationTimestamp": "UNTIL"}
    answer = json.dumps({"apiVersion": EXEC_V1["apiVersion"], "kind": "ExecCredential", "status": status})
    script = (
        f"cd {world.folder}; echo run >> runs; echo '{answer}' | sed s/NUMBER/$(wc -l < runs)/\\;s/UNTIL/$(cat until)/"
    )
    return {**EXEC_V1, "command": "sh", "args": ["-c", script]}


def until(world: World, moment: float) -> None:
    from datetime import UTC, datetime

    (world.folder / "until").write_text(datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


async def load(world: World, clock: Clock) -> credentials.Credentials:
    """Credentials from ``expiring``, as ``until`` says."""
    config = str(world.write(world.entries(user={"exec": expiring(world)})))
    return await credentials.load_credentials(config, None, dict(os.environ), clock=clock, wall_clock=clock)


async def test_a_plugin_runs_again_before_its_token_expires_and_not_for_every_request(world: World) -> None:
    clock = Clock()
    until(world, clock.now + 600)
    loaded = await load(world, clock)

    async def token() -> str | None:
        return (await loaded.identity()).authorization

    clock.now += 580
    assert [await token() for _ in range(3)] == ["Bearer token-1"] * 3
    until(world, clock.now + 1200)
    clock.now += 30  # past its end: this request waits for the next one
    assert [await token() for _ in range(3)] == ["Bearer token-2"] * 3
    assert (world.folder / "runs").read_text().count("run") == 2
    await loaded.aclose()


async def test_shortly_before_the_end_the_old_token_serves_while_the_plugin_runs(world: World) -> None:
    clock = Clock()
    until(world, clock.now + 600)
    loaded = await load(world, clock)
    clock.now += 595
    until(world, clock.now + 600)
    assert (await loaded.identity()).authorization == "Bearer token-1"
    # the next one waits for the run that is under way: the old token has expired meanwhile
    clock.now += 10
    assert (await loaded.identity()).authorization == "Bearer token-2"
    await loaded.aclose()


async def test_a_plugin_that_gives_what_has_expired_is_not_run_for_every_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "LOOK_EVERY", 1.0)
    clock = Clock()
    until(world, clock.now - 60)
    loaded = await load(world, clock)
    for _ in range(5):
        await loaded.identity()
    assert (world.folder / "runs").read_text().count("run") <= 2
    await loaded.aclose()


async def test_requests_go_on_where_kopf_cancels_the_renewal_that_they_wait_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    until(world, clock.now + 600)
    loaded = await load(world, clock)

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(credentials, "ask", never)
    clock.now += 700
    waiting = [asyncio.create_task(loaded.identity()) for _ in range(2)]
    await asyncio.sleep(0.05)
    renewal = next(task for task in asyncio.all_tasks() if task.get_name() == "credentials")
    renewal.cancel()
    async with asyncio.timeout(60):
        assert [(await each).authorization for each in waiting] == ["Bearer token-1"] * 2
    await loaded.aclose()


async def test_a_request_that_is_cancelled_does_not_end_the_renewal_for_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    until(world, clock.now + 600)
    loaded = await load(world, clock)
    clock.now += 700
    until(world, clock.now + 600)
    waiting = [asyncio.create_task(loaded.identity()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    assert (await waiting[1]).authorization == "Bearer token-2"
    await loaded.aclose()


def test_what_a_request_is_sent_with_says_no_secret() -> None:
    assert "abc" not in repr(Seen()) + repr(credentials.PluginCredentials(token="abc"))
