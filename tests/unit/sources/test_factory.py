"""The configuration names the source that is made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.settings.loading import load_settings
from peaks_scheduler.settings.settings import LoadSettings, Settings
from peaks_scheduler.settings.values import LOAD_SOURCES as CONFIGURABLE
from peaks_scheduler.sources.factory import LOAD_SOURCES, load_source, prometheus_api
from peaks_scheduler.sources.source import LoadSource


async def nobody(path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
    raise AssertionError("not asked here")


def source(text: str) -> LoadSource:
    return load_source(load_settings(text, "config.yaml", {}, {})[0], nobody)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", "load-watcher"),
        ("load: {source: metrics-server}", "metrics-server"),
        ("load: {source: prometheus, address: 'http://prometheus:9090'}", "prometheus"),
    ],
)
async def test_the_source_is_the_one_that_is_named(text: str, name: str) -> None:
    made = source(text)
    assert made.name == name
    await made.aclose()


def test_every_source_that_can_be_configured_has_a_line_in_the_table() -> None:
    assert set(LOAD_SOURCES) == set(CONFIGURABLE)


@pytest.mark.parametrize("name", ["load-watcher", "prometheus"])
def test_a_source_with_a_server_of_its_own_wants_its_address(name: str) -> None:
    settings = Settings(load=LoadSettings(source=name, address=None))
    with pytest.raises(ConfigurationError, match=f"load.source is {name}: expected its URL as load.address"):
        load_source(settings, nobody)


def test_certificates_that_cannot_be_read_are_a_wrong_configuration(tmp_path: Path) -> None:
    text = f"load: {{source: prometheus, address: 'https://p'}}\nprometheus: {{caFile: '{tmp_path}/none.pem'}}"
    with pytest.raises(ConfigurationError, match=r"none\.pem: expected certificates in PEM form"):
        source(text)


async def test_prometheus_is_asked_at_its_own_address_for_all_but_load() -> None:
    text = "load: {source: prometheus, address: 'http://a'}\nprometheus: {address: 'http://me:secret@b'}"
    api = prometheus_api(load_settings(text, "config.yaml", {}, {})[0])
    assert api.where == "Prometheus at http://b"
    await api.aclose()
    with pytest.raises(ConfigurationError, match=r"expected the URL of a Prometheus as prometheus\.address"):
        prometheus_api(load_settings("", "config.yaml", {}, {})[0])
