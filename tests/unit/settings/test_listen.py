"""The address that the daemon listens on, as text."""

from __future__ import annotations

import pytest

from peaks_scheduler.settings.values import Listen, parse_listen


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        (":10261", Listen(None, 10261)),
        ("*:10261", Listen(None, 10261)),
        ("[::]:10261", Listen(None, 10261)),
        ("[::1]:0", Listen("::1", 0)),
        ("0.0.0.0:80", Listen("0.0.0.0", 80)),
        ("localhost:8080", Listen("localhost", 8080)),
    ],
)
def test_an_address_is_read_as_host_and_port(text: str, listen: Listen) -> None:
    assert parse_listen(text) == listen


@pytest.mark.parametrize("text", ["", "10261", "host:", "::1:80", "host:http", "host:65536", "host:-1", "host:٣"])
def test_anything_else_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_listen(text)
