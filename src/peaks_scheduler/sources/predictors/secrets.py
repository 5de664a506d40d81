"""Secrets that NodeConfigs name: where they are, and user and password out of one, without a word of it in any message.

Asks once, keeps nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from peaks_scheduler.errors import Forbidden, KubeError, NotFound
from peaks_scheduler.sources.metrics_api import GetJson

from .configured import Credentials
from .node_configs import NAMESPACE

MAY_NOT = "it may not be read: apply manifests/samples/wao-secrets.yaml with its name in it"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_MOST = 1024  # characters of a user or a password


def secret_path(name: str) -> str | None:
    """Path of this secret at the API server; None: no secret can have this name."""
    return f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}" if _NAME.fullmatch(name) else None


async def read_secret(get_json: GetJson, name: str) -> tuple[Credentials | str, bool]:
    """User and password, or why there are none, and whether the API server has the last word in that."""
    if (path := secret_path(name)) is None:
        return "no Secret can have this name", True
    try:
        return credentials_of(await get_json(path, {})), True
    except NotFound:
        return "it does not exist", True
    except Forbidden as error:
        return MAY_NOT, error.status != 401
    except KubeError as error:
        return f"it could not be read ({type(error).__name__})", False


def credentials_of(secret: Any) -> Credentials | str:
    """User and password of a Secret of the API server; or what is wrong with it."""
    data = secret.get("data") if isinstance(secret, Mapping) else None
    user, password = (_decoded(data.get(key)) if isinstance(data, Mapping) else "" for key in ("username", "password"))
    if not user or not password:
        return "expected username and password in it, one line of text each"
    return "expected a username without a colon in it" if ":" in user else (user, password)


def _decoded(value: object) -> str:
    try:
        text = base64.b64decode(value, validate=True).decode().strip() if isinstance(value, str) else ""
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return text if text.isprintable() and len(text) <= _MOST else ""
