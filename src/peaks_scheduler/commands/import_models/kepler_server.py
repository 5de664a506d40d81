"""Asks Kepler's model server for the weights of a model: ``POST /model`` on port 8100.

Owns the request and the errors for bad answers. Asks for models of CPU time only (the feature group BPFOnly, whose
second counter is hardly ever above 0), since other models cannot be made into a curve. Never sends more than one
request.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

import httpx

from peaks_scheduler.errors import ConfigurationError, LoadError
from peaks_scheduler.sources.http_client import UNPACKED, no_cookies, packing
from peaks_scheduler.text.masking import mask_url
from peaks_scheduler.text.words import nearest
from peaks_scheduler.tls import client_context, explain_tls_error

TIMEOUT = 30.0  # [s] for the whole answer
SPEC = ("processor", "cores", "chips", "memory", "frequency")
_METRICS = ("bpf_cpu_time_ms", "bpf_page_cache_hit")
_MOST = 4 * 2**20  # bytes: weights are some kilobytes


def request_body(source: str, trainer: str | None, node_type: int | None, spec: Mapping[str, str]) -> dict[str, object]:
    """The body of the request. ``trainer`` None: any that has weights; ``node_type`` None: any.

    Raises ConfigurationError for a ``spec`` that the server does not know.
    """
    for key in spec:
        if key not in SPEC:
            raise ConfigurationError(f"--machine: expected one of {', '.join(SPEC)}; got {key!r}{nearest(key, SPEC)}")
    body: dict[str, object] = {
        "metrics": list(_METRICS),
        "output_type": "AbsPower",
        "source": source,
        "node_type": -1 if node_type is None else node_type,
        "weight": True,
        "trainer_name": trainer or "",
        "filter": "",
    }
    # older servers do not know the key
    return body | {"machine_spec": {key: _typed(value) for key, value in spec.items()}} if spec else body


def _typed(value: str) -> int | str:
    return int(value) if value.isdecimal() else value


def ask(url: str, body: Mapping[str, object], transport: httpx.BaseTransport | None = None) -> str:
    """The server's answer as text. Raises LoadError if none came in time, ConfigurationError if no model matches."""
    where = f"Kepler's model server at {mask_url(url)}"
    try:
        address = httpx.URL(url)
        if not address.host:
            raise httpx.InvalidURL("no host")
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"--url: expected http://HOST:8100; got {mask_url(url)!r}: {error}") from error
    address = address.copy_with(path=address.path.rstrip("/").removesuffix("/model") + "/model")
    # a service in the cluster, or a forwarded port of it: a proxy for the internet must not be used
    tls = client_context(verify=address.scheme == "https")
    with httpx.Client(
        transport=transport, timeout=TIMEOUT, trust_env=False, verify=tls, headers=UNPACKED, cookies=no_cookies()
    ) as client:
        try:
            with client.stream("POST", address, json=body) as response:
                text = _text(where, response)
        except httpx.TimeoutException as error:
            raise LoadError("timeout", f"{where}: no whole answer within {TIMEOUT:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = explain_tls_error(error) or f"no answer ({error}): is it running, is it port 8100?"
            raise LoadError("unreachable", f"{where}: {said}") from error
    return _checked(where, body, response.status_code, text)


def _text(where: str, response: httpx.Response) -> str:
    if packed := packing(response):
        raise LoadError("malformed", f"{where}: {packed}")
    data, until = bytearray(), time.monotonic() + TIMEOUT
    for chunk in response.iter_bytes():
        data += chunk
        if len(data) > _MOST:
            raise LoadError("malformed", f"{where}: expected at most {_MOST >> 20} MiB of weights; more came")
        if time.monotonic() > until:
            raise LoadError("timeout", f"{where}: no whole answer within {TIMEOUT:g} s")
    return data.decode("utf-8", "replace")


def _checked(where: str, body: Mapping[str, object], status: int, text: str) -> str:
    if status == 200:
        return text
    said = " ".join(text.split())[:160] or "nothing"
    if status == 400:
        asked = json.dumps({key: body[key] for key in ("source", "trainer_name", "node_type")})
        raise ConfigurationError(
            f"{where}: it has no such model, asked for {asked}: try --trainer any, another --source or --node-type "
            f"(its models: GET /best-models). It said: {said}"
        )
    hint = ": an old server may not know --machine" if "machine_spec" in body and status == 500 else ""
    raise LoadError(f"http-{status}", f"{where}: expected 200 with weights; got {status}{hint}. It said: {said}")
