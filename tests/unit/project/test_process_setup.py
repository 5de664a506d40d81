"""The environment that modules find while the daemon imports them."""

from __future__ import annotations

import os
import ssl

import certifi
import pytest

from peaks_scheduler.process_setup import importing_without_authorities


def test_a_context_that_is_made_while_importing_trusts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    with importing_without_authorities():
        assert ssl.create_default_context().get_ca_certs() == []
    assert ssl.create_default_context().get_ca_certs() != []


@pytest.mark.parametrize("file", ["/etc/authorities.pem", "", None])
def test_the_users_authorities_are_those_of_before_after_it(monkeypatch: pytest.MonkeyPatch, file: str | None) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    if file is not None:
        monkeypatch.setenv("SSL_CERT_FILE", file)
    before = dict(os.environ)
    with importing_without_authorities():
        pass
    assert dict(os.environ) == before
