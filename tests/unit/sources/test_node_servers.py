"""Servers of single nodes over real TLS on loopback: whom they are trusted to be, and what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from peaks_scheduler.errors import LoadError
from peaks_scheduler.settings.predictors import Access
from peaks_scheduler.sources.sensors.endpoints import NodeEndpoint
from peaks_scheduler.sources.sensors.node_servers import NodeServers
from tests.support.tls_recorder import TlsRecorder

ANYBODY = Access()


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bmc(ca: trustme.CA) -> Iterator[TlsRecorder]:
    with TlsRecorder(ca) as running:
        yield running


async def ask(bmc: TlsRecorder, access: Access, servers: NodeServers | None = None) -> object:
    asked = servers or NodeServers("BMC", 5.0)
    try:
        return await asked.get(NodeEndpoint(bmc.url, access), "/redfish/v1")
    finally:
        if servers is None:
            await asked.aclose()


async def test_a_certificate_that_nobody_vouches_for_is_refused_and_no_password_is_sent(bmc: TlsRecorder) -> None:
    with pytest.raises(LoadError, match="its certificate"):
        await ask(bmc, Access(basic=("admin", "hunter2")))
    assert not bmc.seen


async def test_a_server_is_trusted_by_its_ca_file(bmc: TlsRecorder, ca: trustme.CA, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    assert await ask(bmc, Access(ca_file=str(file)))


async def test_a_server_is_trusted_without_verification_only_where_that_is_said(bmc: TlsRecorder) -> None:
    assert await ask(bmc, Access(insecure_skip_verify=True))


async def test_a_ca_file_that_is_replaced_counts_at_the_next_request(
    bmc: TlsRecorder, ca: trustme.CA, tmp_path: Path
) -> None:
    file, servers = tmp_path / "ca.pem", NodeServers("BMC", 5.0, clock=iter(range(0, 10_000, 1_000)).__next__)
    trustme.CA().cert_pem.write_to_path(str(file))
    with pytest.raises(LoadError, match="its certificate"):
        await ask(bmc, Access(ca_file=str(file)), servers)
    ca.cert_pem.write_to_path(str(file))
    assert await ask(bmc, Access(ca_file=str(file)), servers)
    await servers.aclose()


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_ca_file_that_cannot_be_used_is_named(bmc: TlsRecorder, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(LoadError, match="its CA file"):
        await ask(bmc, Access(ca_file=str(file)))


async def test_a_server_that_refuses_a_password_is_named_without_it(bmc: TlsRecorder) -> None:
    bmc.status = lambda seen: 401
    with pytest.raises(LoadError, match="401: check its user and password") as refused:
        await ask(bmc, Access(insecure_skip_verify=True, basic=("admin", "hunter2")))
    assert bmc.seen[0].authorization == "Basic YWRtaW46aHVudGVyMg=="
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://xn--a", "http://127.0.0.1:99999"])
async def test_an_address_that_no_library_can_use_is_an_error_as_any_other(url: str) -> None:
    servers = NodeServers("BMC", 5.0)
    with pytest.raises(LoadError, match="check the address"):
        await servers.get(NodeEndpoint(url, Access()), "/redfish/v1")
    await servers.aclose()


class Web:
    """Servers that answer with this status, or (0) not in time; at a time that the test sets."""

    def __init__(self, status: int) -> None:
        self.status, self.now, self.asked = status, 1_000.0, 0
        self.servers = NodeServers("BMC", 5.0, lambda: self.now, httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if not self.status:
            raise httpx.ReadTimeout("late", request=request)
        return httpx.Response(self.status, json={})

    async def get(self, access: Access = ANYBODY, after: float = 0.0) -> str:
        """The kind of trouble; empty: none."""
        self.now += after
        try:
            await self.servers.get(NodeEndpoint("http://server", access), "/redfish/v1")
        except LoadError as error:
            return error.kind
        return ""


async def test_requests_that_fail_together_make_one_pause() -> None:
    web = Web(0)
    assert await asyncio.gather(*(web.get() for _ in range(16))) == ["timeout"] * 16
    web.status = 200
    assert await web.get(after=14.9) == "silent"
    assert await web.get(after=0.1) == ""


@pytest.mark.parametrize("status", [401, 403])
async def test_a_password_that_is_refused_is_tried_again_only_after_five_minutes(status: int) -> None:
    web, wrong = Web(status), Access(basic=("admin", "wrong"))
    assert [await web.get(wrong), await web.get(wrong, after=299.0)] == ["unauthorized", "silent"]
    assert web.asked == 1
    assert await web.get(wrong, after=1.0) == "unauthorized"


async def test_another_password_is_tried_at_once() -> None:
    web = Web(401)
    await web.get(Access(basic=("admin", "wrong")))
    web.status = 200
    assert await web.get(Access(basic=("admin", "right"))) == ""
