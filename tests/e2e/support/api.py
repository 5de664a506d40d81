"""A small synchronous JSON client for a test's API server, and bulk writes that are fast enough for a benchmark.

Assumes a loopback server with a self-signed certificate and a bearer token. Knows paths and JSON, no models: a test
says ``api.get("/api/v1/nodes")``. Bulk calls run on an event loop in a thread of their own, so that they can be called
from tests with and without a running loop. Never retries: what the server said is what the test sees.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import httpx

from tests.e2e.support.processes import PATIENCE

Object = dict[str, Any]
MERGE_PATCH = "application/merge-patch+json"
IN_FLIGHT = 48  # concurrent bulk writes; past 64 this server only queues
FEW = 3  # calls that the open connection answers sooner than new ones are made
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For httpx and servers without TLS. Its own would read every authority that the machine trusts: 30 ms a client."""


class ApiError(AssertionError):
    """An answer that is no success.

    Attributes:
        code: HTTP status.
        status: the server's Status object, or what could be read of it.
    """

    def __init__(self, method: str, path: str, code: int, body: bytes) -> None:
        try:
            self.status: Object = json.loads(body)
        except ValueError:
            self.status = {"message": body.decode(errors="replace")}
        self.code = code
        super().__init__(f"{method} {path}: {code} {self.status.get('message')}")


class Api:
    """JSON over HTTPS with one token. Every call has a time limit; an answer >= 400 raises ApiError."""

    def __init__(self, url: str, token: str, ca_file: Path) -> None:
        self.url, self.token, self.ca_file = url, token, ca_file
        self._tls = ssl.create_default_context(cafile=str(ca_file))
        # a server here is near: to compress what it sends costs both ends more than to send it
        self._headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
        self._client = httpx.Client(
            base_url=url, headers=self._headers, verify=self._tls, timeout=PATIENCE, trust_env=False
        )

    def close(self) -> None:
        self._client.close()

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Any call; the decoded answer, or text where the server answers in text.

        Raises:
            ApiError: the answer is 400 or above.
            httpx.TransportError: there was no answer.
        """
        content = None if body is None else json.dumps(body).encode()
        answer = self._client.request(method, path, content=content, headers={"Content-Type": content_type})
        if answer.status_code >= 400:
            raise ApiError(method, path, answer.status_code, answer.content)
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        return json.loads(answer.content) if is_json else answer.text

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def post(self, path: str, body: Object) -> Any:
        return self.request("POST", path, body)

    def put(self, path: str, body: Object) -> Any:
        return self.request("PUT", path, body)

    def patch(self, path: str, body: Object) -> Any:
        """A merge patch."""
        return self.request("PATCH", path, body, MERGE_PATCH)

    def delete(self, path: str, body: Object | None = None) -> Any:
        return self.request("DELETE", path, body)

    def watch(self, path: str, resource_version: str, seconds: int = 5) -> Iterator[Object]:
        """Events of a watch from ``resource_version`` until the server ends it, after ``seconds`` at the latest.

        An expired version comes as an event of type ERROR whose object has code 410, or as an ApiError with it.
        """
        query = {"watch": "1", "resourceVersion": resource_version, "timeoutSeconds": str(seconds)}
        with self._client.stream("GET", path, params=query, timeout=seconds + PATIENCE) as answer:
            if answer.status_code >= 400:
                raise ApiError("GET", path, answer.status_code, answer.read())
            for line in answer.iter_lines():
                yield json.loads(line)

    def bulk(self, method: str, calls: Sequence[tuple[str, Any]], *, missing_ok: bool = False) -> list[Any]:
        """Many calls (path, body) at once, answers in their order; those of PATCH are merge patches.

        Raises:
            ApiError: the first answer >= 400 (404 passes, as None, with ``missing_ok``).
        """
        if len(calls) <= FEW:
            return [self._one(method, path, body, missing_ok) for path, body in calls]
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, self._bulk(method, calls, missing_ok)).result()

    def _one(self, method: str, path: str, body: Any, missing_ok: bool) -> Any:
        try:
            return self.request(method, path, body, MERGE_PATCH if method == "PATCH" else "application/json")
        except ApiError as error:
            if error.code == 404 and missing_ok:
                return None
            raise

    async def _bulk(self, method: str, calls: Sequence[tuple[str, Any]], missing_ok: bool) -> list[Any]:
        connector = aiohttp.TCPConnector(limit=IN_FLIGHT, ssl=self._tls)
        limit = aiohttp.ClientTimeout(total=120)
        turns = asyncio.Semaphore(IN_FLIGHT)
        content_type = MERGE_PATCH if method == "PATCH" else "application/json"
        headers = {**self._headers, "Content-Type": content_type}

        async def call(path: str, body: Any) -> Any:
            content = None if body is None else json.dumps(body).encode()
            async with turns, session.request(method, self.url + path, data=content) as answer:
                got = await answer.read()
                if answer.status == 404 and missing_ok:
                    return None
                if answer.status >= 400:
                    raise ApiError(method, path, answer.status, got)
                return json.loads(got)

        async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=limit) as session:
            return await asyncio.gather(*(call(path, body) for path, body in calls))
