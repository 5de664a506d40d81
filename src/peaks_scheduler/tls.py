"""TLS as a client: the context for all our connections, and messages for failed handshakes.

Owns which CAs are trusted (the given ones, else those of this machine), how strictly certificates are verified, and how
a client certificate is loaded without writing its key to a disk. Verifies in the same way on Python 3.11 and 3.13. By
default 3.13 refuses CAs without key identifiers, which clusters and their Prometheus often have, and 3.11 refuses an
intermediate CA; kubectl accepts both. Never reads a file of the user, never connects.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import certifi

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_CERTIFICATES = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")
_NO_TLS = re.compile(r"WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG|UNKNOWN_PROTOCOL|RECORD_LAYER_FAILURE")
_OURS_REFUSED = re.compile(r"ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA|ACCESS_DENIED)")
# OpenSSL's X509_V_ERR_...
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED, _WRONG_HOST, _WRONG_ADDRESS = 9, 10, 18, 62, 64
_UNTRUSTED = (7, 19, 20, 21)  # a wrong signature, an unknown root, a missing issuer


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client certificate with its chain, and its key, both PEM."""

    chain: bytes
    key: bytes = field(repr=False)


def client_context(
    authorities: bytes | None = None, certificate: ClientCertificate | None = None, verify: bool = True
) -> ssl.SSLContext:
    """A context that trusts ``authorities`` and shows ``certificate``.

    Args:
        authorities: PEM of the trusted CAs; None: those of this machine.
        verify: False accepts every server.

    Raises:
        ValueError: the PEM cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags = (context.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN) & ~ssl.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authorities is None:
        _trust_system_authorities(context)
    else:
        _trust(context, authorities)
    if certificate is not None:
        _load_client_certificate(context, certificate)
    return context


def explain_tls_error(error: BaseException | None) -> str | None:
    """What is wrong with the server's certificate or with ours, and what to do; None: not a TLS error."""
    found = _tls_error(error)
    if isinstance(found, ssl.SSLCertVerificationError):
        return _explain_verification_error(found)
    reason = getattr(found, "reason", None) or ""
    if _NO_TLS.search(reason):
        return "it does not speak TLS on this port: check whether its address is http:// or has another port"
    if _OURS_REFUSED.search(reason):
        return f"it refuses our client certificate ({reason}): check whether that is expired, missing or of another CA"
    return None


def client_certificate_refused(error: BaseException | None) -> bool:
    """Did the server end the handshake because of our client certificate? If so it has read no request."""
    return bool(_OURS_REFUSED.search(getattr(_tls_error(error), "reason", None) or ""))


def server_not_trusted(error: BaseException | None) -> bool:
    """Did we end the handshake because of the server's certificate? If so no request was sent."""
    return isinstance(_tls_error(error), ssl.SSLCertVerificationError)


def is_encrypted(key: bytes) -> bool:
    """Is this PEM key protected by a password?"""
    return any(b"ENCRYPTED" in block for label, block in _blocks(key) if label.endswith(b"PRIVATE KEY"))


def _explain_verification_error(error: ssl.SSLCertVerificationError) -> str:
    code, message = getattr(error, "verify_code", 0), getattr(error, "verify_message", str(error)).rstrip(".")
    if code == _EXPIRED:
        return "its certificate has expired: renew it on the server, or correct this machine's clock"
    if code == _NOT_YET_VALID:
        return "its certificate is not valid yet: check the clocks of the server and of this machine"
    if code in (_WRONG_HOST, _WRONG_ADDRESS):
        return f"its certificate is for another name ({message}): use one of its names"
    if code == _SELF_SIGNED:
        return "its certificate is self-signed and not trusted: give this certificate as its CA"
    if code in _UNTRUSTED:
        return f"its certificate was signed by a CA that is not trusted here ({message}): give the CA that signed it"
    return f"its certificate is not trusted ({message})"


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """OpenSSL's error: the innermost SSLError. The outer ones are aiohttp's and have no reason."""
    found = None
    while error is not None:
        found = error if isinstance(error, ssl.SSLError) else found
        error = error.__cause__ or error.__context__
    return found


def _blocks(pem: bytes) -> list[tuple[bytes, bytes]]:
    """(label, block) of every block from BEGIN to END; text between the blocks is ignored."""
    return [(match[1], match[0]) for match in _BLOCK.finditer(pem)]


def _trust_system_authorities(context: ssl.SSLContext) -> None:
    context.load_default_certs()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and not (paths.capath and any(Path(paths.capath).iterdir())):
        context.load_verify_locations(certifi.where())  # a small image has no CAs


def _trust(context: ssl.SSLContext, authorities: bytes) -> None:
    """Trust the CAs that can be read. Others are skipped, as in kubectl: this OpenSSL may not support them."""
    problem = "no -----BEGIN CERTIFICATE-----"
    for label, block in _blocks(authorities):
        if label in _CERTIFICATES:
            try:
                context.load_verify_locations(cadata=block.decode("ascii"))
            except (ssl.SSLError, ValueError) as error:
                problem = str(error)
    if not context.cert_store_stats()["x509"]:
        raise ValueError(f"expected CA certificates in PEM format, got: {problem}")


def _load_client_certificate(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    chain = [block for label, block in _blocks(certificate.chain) if label in _CERTIFICATES]
    keys = [block for label, block in _blocks(certificate.key) if label.endswith(b"PRIVATE KEY")]
    if not chain or not keys:
        raise ValueError(f"expected a {'key' if chain else 'certificate'} in PEM format, got none")
    with _as_file(b"\n".join([*chain, keys[0], b""])) as path:
        try:
            # with a password, since OpenSSL would ask for one at the terminal
            context.load_cert_chain(path, password="")
        except (ssl.SSLError, OSError, ValueError) as error:
            raise ValueError(f"expected a certificate and the key that belongs to it, got: {error}") from error


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Path of a file with this content, since OpenSSL reads only files. In memory, if the system supports it."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        with os.fdopen(os.memfd_create("client-certificate"), "wb") as memory:
            memory.write(content)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
        return
    with tempfile.NamedTemporaryFile() as file:  # readable only by this user
        file.write(content)
        file.flush()
        yield file.name
