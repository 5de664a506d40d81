"""Reads once what the cluster says about sensors and models of its nodes: NodeConfigs of WAO, and what they refer to.

Lists NodeConfig and NodeConfigTemplate of both API groups, reads the secrets that they name, and asks BMCs for the
address of a model. A cluster without these kinds is as usual as one with them; a right that is missing is told only
where the kind is there. For commands that ask once: the daemon keeps the same up to date. Never writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from peaks_scheduler.errors import Forbidden, KubeError, NotFound
from peaks_scheduler.objects.node import Node
from peaks_scheduler.settings.predictors import Access, PredictorSettings
from peaks_scheduler.sources.metrics_api import GetJson

from .configured import Configured, Credentials
from .mlmm import ModelAddresses
from .node_configs import GROUPS, NAMESPACE, PLURALS, VERSION, NodeConfigs
from .secrets import read_secret

PAGE = "500"
MOST_OBJECTS = 20_000  # of each kind
AT_ONCE = 8  # secrets
_PATHS = tuple(
    (kind, f"/apis/{group}/{VERSION}/namespaces/{NAMESPACE}/{plural}")
    for group in GROUPS
    for kind, plural in PLURALS.items()
)

Json = Mapping[str, Any]


async def said_in_cluster(
    settings: PredictorSettings, get_json: GetJson, nodes: Sequence[Node], limit: float
) -> tuple[Configured, tuple[str, ...]]:
    """What NodeConfigs say about these nodes, and what is wrong with it, in words; within ``limit`` [s]. Raises nothing
    that a server can cause."""
    access = Access(
        ca_file=settings.node_config_ca_file, insecure_skip_verify=settings.node_config_insecure_skip_verify
    )
    configured, troubles = Configured(access), list[str]()
    if settings.node_configs:
        try:
            async with asyncio.timeout(limit):
                await _fill(configured, troubles, settings, get_json, nodes)
        except TimeoutError:
            troubles.append(f"NodeConfigs: expected them, their secrets and models within {limit:g} s; not all came")
    return configured, tuple(troubles)


async def _fill(
    configured: Configured, troubles: list[str], settings: PredictorSettings, get_json: GetJson, nodes: Sequence[Node]
) -> None:
    objects: list[Json] = []
    for kind, path in _PATHS:
        found, trouble = await _listed(get_json, kind, path)
        objects += found
        troubles += [trouble] if trouble else []
    configured.set_configs(NodeConfigs(objects))
    troubles += configured.configs.problems
    configured.set_secrets(await _secrets(get_json, configured.secrets_wanted(nodes)))
    if wanted := configured.providers_wanted(nodes):
        addresses = ModelAddresses(settings.timeout)
        try:
            configured.set_models(await addresses.refresh(wanted))
        finally:
            await addresses.aclose()


async def _listed(get_json: GetJson, kind: str, path: str) -> tuple[list[Json], str]:
    """The objects of one kind and group, and why they could not be listed; empty: they were, or there is no such
    kind."""
    found: list[Json] = []
    query = {"limit": PAGE}
    named = f"{path.rpartition('/')[2]}.{path.split('/')[2]}"
    try:
        while len(found) < MOST_OBJECTS:
            answer = await get_json(path, query)
            items = answer.get("items")
            version = f"{path.split('/')[2]}/{VERSION}"
            found += [
                {"apiVersion": version, "kind": kind, **each}
                for each in (items if isinstance(items, list) else ())
                if isinstance(each, Mapping)
            ]
            meta = answer.get("metadata")
            token = meta.get("continue") if isinstance(meta, Mapping) else None
            if not isinstance(token, str) or not token:
                return found, ""
            query = {"limit": PAGE, "continue": token}
    except NotFound:
        return [], ""
    except Forbidden:
        # asked of a kind that is not there, an account without the right is refused likewise
        return [], ""
    except KubeError as error:
        return found, f"{named} cannot be listed: {error}"
    return found, f"{named}: the first {MOST_OBJECTS:,} objects count, there are more"


# --- secrets ----------------------------------------------------------------------------------------------------------


async def _secrets(get_json: GetJson, names: set[str]) -> dict[str, Credentials | str]:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> Credentials | str:
        async with places:
            return (await read_secret(get_json, name))[0]

    ordered = sorted(names)
    return dict(zip(ordered, await asyncio.gather(*map(one, ordered)), strict=True))
