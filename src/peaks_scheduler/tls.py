"""TLS as a client: the one context that every server of ours is asked with, and the words for a handshake that fails.

Owns which authorities count (those given, else the machine's), how strictly certificates are read, and how a client
certificate is loaded without its key touching a disk. The same on Python 3.11 and 3.13: 3.13 alone would refuse
authorities without key identifiers, as clusters and their Prometheus often have, and 3.11 alone an intermediate
authority. kubectl accepts both. Never reads a file of the user's, never connects.
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
_UNTRUSTED = (7, 19, 20, 21)  # a signature that does not fit, a root that is not ours, an issuer that is not there


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client certificate with its chain, and its key, both PEM."""

    chain: bytes
    key: bytes = field(repr=False)


def client_context(
    authorities: bytes | None = None, certificate: ClientCertificate | None = None, verify: bool = True
) -> ssl.SSLContext:
    """Context that trusts ``authorities`` (PEM; None: the machine's) and shows ``certificate``.

    Without ``verify`` any server is believed. Raises ValueError for PEM that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags = (context.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN) & ~ssl.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authorities is None:
        _trust_the_machines(context)
    else:
        _trust(context, authorities)
    if certificate is not None:
        _show(context, certificate)
    return context


def explain_tls_error(error: BaseException | None) -> str | None:
    """What is wrong with the server's certificate, or with ours, and what to do; None where TLS is not to blame."""
    found = _tls_error(error)
    if isinstance(found, ssl.SSLCertVerificationError):
        return _distrust(found)
    reason = getattr(found, "reason", None) or ""
    if _NO_TLS.search(reason):
        return "it does not speak TLS on this port: is its address http://, or another port?"
    if _OURS_REFUSED.search(reason):
        return f"it refuses our client certificate ({reason}): is it expired, missing or of another authority?"
    return None


def client_certificate_refused(error: BaseException | None) -> bool:
    """Did the server end the handshake because of our client certificate? Then it has read no request."""
    return bool(_OURS_REFUSED.search(getattr(_tls_error(error), "reason", None) or ""))


def server_not_trusted(error: BaseException | None) -> bool:
    """Did we end the handshake because of the server's certificate? Then no request was sent."""
    return isinstance(_tls_error(error), ssl.SSLCertVerificationError)


def is_encrypted(key: bytes) -> bool:
    """Does this PEM key ask for a password?"""
    return any(b"ENCRYPTED" in block for label, block in _blocks(key) if label.endswith(b"PRIVATE KEY"))


def _distrust(error: ssl.SSLCertVerificationError) -> str:
    code, message = getattr(error, "verify_code", 0), getattr(error, "verify_message", str(error)).rstrip(".")
    if code == _EXPIRED:
        return "its certificate has expired: renew it there, or set this machine's clock"
    if code == _NOT_YET_VALID:
        return "its certificate is not valid yet: is one of the two clocks wrong?"
    if code in (_WRONG_HOST, _WRONG_ADDRESS):
        return f"its certificate is for another name ({message}): use a name that it has"
    if code == _SELF_SIGNED:
        return "its certificate is signed by itself and not among the trusted ones: give this certificate as its CA"
    if code in _UNTRUSTED:
        return f"its certificate was signed by a CA that is not trusted here ({message}): give the CA that signed it"
    return f"its certificate is not trusted ({message})"


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """What OpenSSL said: the innermost error, since aiohttp's own are SSLErrors too, without a reason."""
    found = None
    while error is not None:
        found = error if isinstance(error, ssl.SSLError) else found
        error = error.__cause__ or error.__context__
    return found


def _blocks(pem: bytes) -> list[tuple[bytes, bytes]]:
    """(label, block) of everything between BEGIN and END; whatever stands around it is commentary."""
    return [(match[1], match[0]) for match in _BLOCK.finditer(pem)]


def _trust_the_machines(context: ssl.SSLContext) -> None:
    context.load_default_certs()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and not (paths.capath and any(Path(paths.capath).iterdir())):
        context.load_verify_locations(certifi.where())  # a small image has none of its own


def _trust(context: ssl.SSLContext, authorities: bytes) -> None:
    """One that cannot be read is passed over, as kubectl does: a bundle may hold what this OpenSSL does not know."""
    problem = "no -----BEGIN CERTIFICATE-----"
    for label, block in _blocks(authorities):
        if label in _CERTIFICATES:
            try:
                context.load_verify_locations(cadata=block.decode("ascii"))
            except (ssl.SSLError, ValueError) as error:
                problem = str(error)
    if not context.cert_store_stats()["x509"]:
        raise ValueError(f"expected certificates of an authority in PEM form, got: {problem}")


def _show(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    chain = [block for label, block in _blocks(certificate.chain) if label in _CERTIFICATES]
    keys = [block for label, block in _blocks(certificate.key) if label.endswith(b"PRIVATE KEY")]
    if not chain or not keys:
        raise ValueError(f"expected a {'key' if chain else 'certificate'} in PEM form, got none")
    with _as_file(b"\n".join([*chain, keys[0], b""])) as path:
        try:
            # the password: without one OpenSSL would ask at the terminal
            context.load_cert_chain(path, password="")
        except (ssl.SSLError, OSError, ValueError) as error:
            raise ValueError(f"expected a certificate and the key that belongs to it, got: {error}") from error


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Path of a file with this content, for OpenSSL, which takes nothing else; in memory where the system can."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        with os.fdopen(os.memfd_create("client-certificate"), "wb") as memory:
            memory.write(content)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
        return
    with tempfile.NamedTemporaryFile() as file:  # readable by us alone
        file.write(content)
        file.flush()
        yield file.name
