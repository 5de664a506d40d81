"""What NodeConfigs say, together with what they refer to: secrets, and models whose address a BMC tells.

Owns how a term of a NodeConfig becomes a server that can be asked, for sensors and for models. Who keeps the objects up
to date (``daemon.keepers.node_configs``) fills it in; it never fetches. Passwords are only held in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.objects.node import Node
from peaks_scheduler.settings.predictors import Access, ServedModel
from peaks_scheduler.sources.sensors.endpoints import NodeEndpoint
from peaks_scheduler.text.masking import mask_url

from .node_configs import FAKE, NAMESPACE, PRESSURE, REDFISH, V2, NodeConfigs, Said, Term

FAKES: Mapping[str, float] = MappingProxyType({"inlet": 15.5, "deltaP": 7.5})
"""Signal -> what WAO's type Fake tells: degrees Celsius and pascal."""
_INFER = re.compile(
    r"(?P<base>https?://[^\s?#]+?)/v2/models/(?P<model>[^\s/?#]+)(?:/versions/(?P<version>[^\s/?#]+))?(?:/infer)?/?"
)

Credentials = tuple[str, str]


class NotAskedYetError(ConfigurationError):
    """A BMC was not asked for its node's model yet: there is nothing wrong so far."""


class Configured:
    """See the module. ``tls`` has how to verify the servers of NodeConfigs, which cannot say it themselves."""

    def __init__(self, tls: Access | None = None) -> None:
        self._tls = tls or Access()
        self._configs = NodeConfigs()
        self._secrets: dict[str, Credentials | str] = {}
        self._models: dict[NodeEndpoint, Term | str] = {}
        self._servers: dict[Term, NodeEndpoint] = {}
        self.generation = 0
        """Rises with everything that may change an answer."""

    # -- what the keeper fills in

    @property
    def configs(self) -> NodeConfigs:
        return self._configs

    def set_configs(self, configs: NodeConfigs) -> None:
        """These objects count from now on."""
        self._configs = configs
        self._changed()

    def set_secrets(self, secrets: Mapping[str, Credentials | str]) -> None:
        """User and password of each secret, or why it has none."""
        if secrets != self._secrets:
            self._secrets = dict(secrets)
            self._changed()

    def set_models(self, models: Mapping[NodeEndpoint, Term | str]) -> None:
        """What each BMC says about the node's model, or why it says nothing."""
        if models != self._models:
            self._models = dict(models)
            self._changed()

    def _changed(self) -> None:
        self._servers.clear()
        self.generation += 1

    def secrets_wanted(self, nodes: Iterable[Node]) -> set[str]:
        """Names of the secrets that are used for these nodes."""
        return {term.secret for node in nodes for term in self._terms(node) if term.secret and term.type != FAKE}

    def providers_wanted(self, nodes: Iterable[Node]) -> list[NodeEndpoint]:
        """The BMCs that are to be asked for a model's address, as far as their secrets are known."""
        found: dict[NodeEndpoint, None] = {}
        for node in nodes:
            said = self._configs.of(node)
            if said is not None and said.terms.provider is not None and said.terms.provider.type == REDFISH:
                try:
                    found[self._server(said.terms.provider)] = None
                except ConfigurationError:
                    continue  # it is named where the node's model is asked for
        return list(found)

    def _terms(self, node: Node) -> list[Term]:
        said = self._configs.of(node)
        if said is None:
            return []
        terms = said.terms
        return [each for each in (terms.inlet, terms.delta_p, terms.power, terms.provider) if each is not None]

    # -- what others ask

    def of(self, node: Node) -> Said | None:
        """What counts for this node; None: no object is for it."""
        return self._configs.of(node)

    def inlet(self, node: Node) -> NodeEndpoint | None:
        """The BMC that tells the node's inlet temperature; None: none, or it cannot be asked (``sensor_trouble``)."""
        return self._sensor(node, "inlet", REDFISH)

    def delta_p(self, node: Node) -> NodeEndpoint | None:
        """The server that tells its differential pressure; None as for ``inlet``."""
        return self._sensor(node, "delta_p", PRESSURE)

    def fakes(self, node: Node) -> dict[str, float]:
        """Signal -> the value of a sensor of type Fake."""
        said = self._configs.of(node)
        terms = {} if said is None else {"inlet": said.terms.inlet, "deltaP": said.terms.delta_p}
        return {name: FAKES[name] for name, term in terms.items() if term is not None and term.type == FAKE}

    def sensor_trouble(self, node: Node) -> str:
        """Why a sensor that the objects name cannot be asked; empty: they all can."""
        said = self._configs.of(node)
        if said is None:
            return ""
        for name, term, kind in (
            ("inletTemp", said.terms.inlet, REDFISH),
            ("deltaP", said.terms.delta_p, PRESSURE),
        ):
            try:
                if term is not None and term.type != FAKE:
                    self._server(_of_type(term, kind, FAKE))
            except ConfigurationError as error:
                return f"{said.by}: {name}: {error}"
        return ""

    def model(self, said: Said) -> ServedModel | None:
        """The model that a node's object names; None: it names none. Raises ConfigurationError; NotAskedYetError is a
        matter of seconds."""
        power, provider = said.terms.power, said.terms.provider
        if provider is None:
            # a secret alone is for a model that a BMC names
            return None if power is None or not (power.type or power.endpoint) else self._served(power)
        told = self._provided(provider)
        # the secret stays that of powerConsumption
        return self._served(replace(told, secret="" if power is None else power.secret))

    # -- from terms to servers

    def _sensor(self, node: Node, name: str, kind: str) -> NodeEndpoint | None:
        said = self._configs.of(node)
        term: Term | None = None if said is None else getattr(said.terms, name)
        if term is None or term.type != kind:
            return None
        try:
            return self._server(term)
        except ConfigurationError:
            return None

    def _provided(self, provider: Term) -> Term:
        if provider.type == FAKE:
            raise ConfigurationError(f"type {FAKE} names a server that does not exist: give the BMC's address")
        found = self._models.get(self._server(_of_type(provider, REDFISH, FAKE)))
        if isinstance(found, Term):
            return found
        if found is None:
            raise NotAskedYetError(f"the BMC at {provider.endpoint} was not asked for its model yet")
        raise ConfigurationError(found)

    def _server(self, term: Term) -> NodeEndpoint:
        found = self._servers.get(term)
        if found is None:
            found = self._servers[term] = NodeEndpoint(_base(term.endpoint), self._access(term))
        return found

    def _served(self, term: Term) -> ServedModel:
        if term.type == FAKE:
            raise ConfigurationError(f"type {FAKE} predicts 3.14 W whatever runs there, which is no model of a node")
        found = _INFER.fullmatch(_of_type(term, V2, FAKE).endpoint)
        if found is None:
            raise ConfigurationError(
                "expected an endpoint such as http://HOST:8080/v2/models/NAME/versions/VERSION/infer; got "
                f"{mask_url(term.endpoint)[:200]!r}"
            )
        # WAO's default for cpuUsageFormat is Raw: cores, from 0 to those of the node
        return ServedModel(
            protocol="v2",
            url=_base(found["base"]),
            model=_part(found["model"]),
            version=_part(found["version"] or ""),
            cpu="cores",
            access=self._access(term),
        )

    def _access(self, term: Term) -> Access:
        if not term.secret:
            return self._tls
        found = self._secrets.get(term.secret)
        if isinstance(found, tuple):
            return replace(self._tls, basic=found)
        why = found or "it was not read yet"
        raise ConfigurationError(f"its user and password are in Secret {NAMESPACE}/{term.secret}: {why}")


def _of_type(term: Term, *kinds: str) -> Term:
    if term.type not in kinds:
        raise ConfigurationError(f"expected type {' or '.join(kinds)}; got {term.type[:80]!r}")
    return term


def _base(text: str) -> str:
    """The URL, without ``/`` at its end. Raises ConfigurationError."""
    try:
        url = urlsplit(text)
        good = url.scheme in ("http", "https") and url.hostname and url.port != 0 and not (url.query or url.fragment)
    except ValueError:
        good = False
    if not good or "@" in text or not re.fullmatch(r"[\x21-\x7e]+", text) or re.search(r"[{}<>\"\\^`|]", text):
        raise ConfigurationError(
            f"expected an endpoint such as https://10.0.0.1 without user and password; got {mask_url(text)[:200]!r}"
        )
    return text.rstrip("/")


def _part(text: str) -> str:
    part = unquote(text)
    # braces: WAO leaves a template that it cannot render as it is
    if re.search(r"[/{}]", part) or not part.isprintable() or part in (".", ".."):
        raise ConfigurationError(f"expected a name of a model or of its version; got {part[:200]!r}")
    return part
