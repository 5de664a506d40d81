"""Where the monitoring programs lie that ``make monitoring`` brought, and certificates for servers that tests start.

Assumes that they are there; never brings them itself. The certificates are real ones of an authority that lives as long
as its folder: clients check them as they would check any other.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.e2e.support.programs import located


@functools.cache
def programs() -> dict[str, Path]:
    """Path of every program or file by name: prometheus, promtool, prometheus-node-exporter, metrics-server, ...

    Raises:
        AssertionError: one is not there; says what to run.
    """
    return located("monitoring.py", "no monitoring, run `make monitoring`")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority of a test's own.

    Attributes:
        ca_file: its certificate (PEM), for whoever is to trust it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._authority = trustme.CA()
        self.ca_file = folder / "ca.crt"
        self._authority.cert_pem.write_to_path(str(self.ca_file))

    def issue(self, name: str, *hosts: str) -> Certificate:
        """A certificate of ``name``, for a server on these hosts (loopback where none are named) or for a client."""
        issued = self._authority.issue_cert(*(hosts or ("127.0.0.1", "localhost")), common_name=name)
        files = Certificate(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        files.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(files.key))
        files.key.chmod(0o600)
        return files
