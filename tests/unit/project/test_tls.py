"""One TLS context for every door: which certificates it takes on every Python, and the words where it does not."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from peaks_scheduler.errors import KubeError, LoadError
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.http.connection import connect
from peaks_scheduler.sources.load_watcher import LoadWatcher
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.tls import client_context
from tests.support.kubeconfig_cases import World
from tests.support.tls_recorder import TlsRecorder

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Authority:
    """A CA as `openssl req -x509` of old makes it: no key identifiers, basicConstraints not critical, no key usage."""

    def __init__(self, name: str = "an old CA", issuer: Authority | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        plain = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = _signed(self.name, self.key, issuer or self, [plain])

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def leaf(self, name: str = "localhost", until: datetime.datetime = NOW + DAY) -> trustme.LeafCert:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        leaf = _signed(subject, key, self, [x509.SubjectAlternativeName([x509.DNSName(name)])], until)
        encoded = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return trustme.LeafCert(encoded, leaf.public_bytes(serialization.Encoding.PEM), [])


def _signed(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: Authority,
    extensions: list[x509.ExtensionType],
    until: datetime.datetime = NOW + DAY,
) -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW - 2 * DAY).not_valid_after(until)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer.key, hashes.SHA256())


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def ca_file(folder: Path, pem: bytes) -> str:
    (folder / "trusted.pem").write_bytes(pem)
    return str(folder / "trusted.pem")


async def told_by_prometheus(url: str, trusted: str | None) -> str:
    api = PrometheusApi(url, ca_file=trusted, timeout=10.0)
    try:
        await api.query("up")
    except LoadError as error:
        return str(error)
    finally:
        await api.aclose()
    return ""


async def told_by_api_server(url: str, trusted: str | None) -> str:
    """Through a kubeconfig in the folder of ``trusted``."""
    assert trusted is not None
    world = World(Path(trusted).parent, url, trustme.CA())
    config = world.write(world.entries(cluster={"server": url, "certificate-authority": trusted}))
    connection = await connect(str(config), environ={})
    try:
        await KubeClient(connection, "Peaks", "test").version()
    except KubeError as error:
        return str(error)
    finally:
        await connection.close()
    return ""


DOORS = [pytest.param(told_by_prometheus, id="Prometheus"), pytest.param(told_by_api_server, id="API server")]
MALFORMED = "expected JSON"  # the recorder is no Prometheus; that we have read its answer is what counts


@pytest.mark.parametrize("told", DOORS)
async def test_an_authority_without_key_identifiers_is_trusted(
    told: Callable[..., object], authority: Authority, tmp_path: Path
) -> None:
    with TlsRecorder(trustme.CA(), certificate=authority.leaf()) as server:
        said = await told(f"https://localhost:{server.port}", ca_file(tmp_path, authority.pem))  # type: ignore[misc]
    assert "certificate" not in said
    assert len(server.seen) == 1 or told is told_by_prometheus


@pytest.mark.parametrize("told", DOORS)
async def test_an_intermediate_authority_is_enough(
    told: Callable[..., object], authority: Authority, tmp_path: Path
) -> None:
    intermediate = Authority("an intermediate CA", authority)
    with TlsRecorder(trustme.CA(), certificate=intermediate.leaf()) as server:
        said = await told(f"https://localhost:{server.port}", ca_file(tmp_path, intermediate.pem))  # type: ignore[misc]
    assert "certificate" not in said


def _wrong_name(authority: Authority) -> tuple[trustme.LeafCert, bytes]:
    return authority.leaf("prometheus.example.org"), authority.pem


def _expired(authority: Authority) -> tuple[trustme.LeafCert, bytes]:
    return authority.leaf(until=NOW - DAY), authority.pem


def _another_ca(authority: Authority) -> tuple[trustme.LeafCert, bytes]:
    return authority.leaf(), Authority("another CA").pem


def _same_name_another_key(authority: Authority) -> tuple[trustme.LeafCert, bytes]:
    return authority.leaf(), Authority().pem


def _self_signed(authority: Authority) -> tuple[trustme.LeafCert, bytes]:
    alone = Authority("localhost")
    names = [x509.SubjectAlternativeName([x509.DNSName("localhost")])]
    certificate = _signed(alone.name, alone.key, alone, names).public_bytes(serialization.Encoding.PEM)
    key = alone.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return trustme.LeafCert(key, certificate, []), authority.pem


@pytest.mark.parametrize("told", DOORS)
@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        pytest.param(_wrong_name, "its certificate is for another name", id="another name"),
        pytest.param(_expired, "its certificate has expired", id="expired"),
        pytest.param(_another_ca, "signed by a CA that is not trusted here", id="another CA"),
        pytest.param(
            _same_name_another_key, "signed by a CA that is not trusted here", id="the CA's name, another key"
        ),
        pytest.param(_self_signed, "self-signed", id="self-signed"),
    ],
)
async def test_a_certificate_that_is_not_taken_is_told_in_words(
    told: Callable[..., object],
    trouble: Callable[[Authority], tuple[trustme.LeafCert, bytes]],
    words: str,
    authority: Authority,
    tmp_path: Path,
) -> None:
    leaf, trusted = trouble(authority)
    with TlsRecorder(trustme.CA(), certificate=leaf) as server:
        said = await told(f"https://localhost:{server.port}", ca_file(tmp_path, trusted))  # type: ignore[misc]
    assert words in said


@contextmanager
def plain_server(answer: bytes) -> Iterator[int]:
    """A server without TLS that answers every connection with these bytes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10.0)


@pytest.mark.parametrize("told", DOORS)
async def test_https_to_a_port_without_tls_is_told_in_words(
    told: Callable[..., object], authority: Authority, tmp_path: Path
) -> None:
    with plain_server(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") as port:
        said = await told(f"https://127.0.0.1:{port}", ca_file(tmp_path, authority.pem))  # type: ignore[misc]
    assert "does not speak TLS on this port" in said


async def test_http_to_a_port_with_tls_is_told_in_words() -> None:
    # recorded from Go's net/http, which Prometheus, load-watcher and the API server are made of
    body = b"Client sent an HTTP request to an HTTPS server.\n"
    with plain_server(b"HTTP/1.0 400 Bad Request\r\n\r\n" + body) as port:
        source = LoadWatcher(f"http://127.0.0.1:{port}")
        with pytest.raises(LoadError, match="it wants TLS on this port: use https://"):
            await source.fetch()
        await source.aclose()


def test_a_bundle_is_read_although_one_of_its_certificates_is_broken(authority: Authority) -> None:
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    context = client_context("Autorité\n".encode() + broken + authority.pem)
    assert context.cert_store_stats()["x509"] == 1


@pytest.mark.parametrize(
    "pem",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", id="rubbish"),
    ],
)
def test_a_bundle_without_a_certificate_trusts_nobody(pem: bytes) -> None:
    with pytest.raises(ValueError, match="expected CA certificates"):
        client_context(pem)


def test_the_context_is_the_same_on_every_python() -> None:
    flags = client_context().verify_flags
    assert not flags & ssl.VERIFY_X509_STRICT
    assert flags & ssl.VERIFY_X509_PARTIAL_CHAIN
