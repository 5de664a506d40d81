"""The power models that the settings name: read in one way by the daemon, ``check`` and ``explain``."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from peaks_scheduler.errors import ConfigurationError, PowerModelError
from peaks_scheduler.power.models import EMPTY, PowerModels
from peaks_scheduler.settings.power_models import configured_models, read_models
from peaks_scheduler.settings.settings import PowerSettings, Settings

TEXT = "{models: [{nodes: [worker-1], cpu: ratio, curve: {kind: linear, idle: 60, max: 240}}]}"
INLINE = PowerModels({"inline": None})  # type: ignore[dict-item]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "models.yaml"
    path.write_text(TEXT)
    return path


def test_a_file_counts_before_models_in_the_configuration(file: Path) -> None:
    assert list(configured_models(Settings(power=PowerSettings(str(file), INLINE))).by_name) == ["worker-1"]
    assert configured_models(Settings(power=PowerSettings(None, INLINE))) is INLINE
    assert configured_models(Settings()) == EMPTY


def test_a_missing_file_is_told_from_a_wrong_one_by_its_cause(file: Path) -> None:
    with pytest.raises(PowerModelError, match="expected a readable power model file") as missing:
        read_models(file.with_name("none.yaml"))
    assert isinstance(missing.value.__cause__, FileNotFoundError)
    file.write_text(TEXT.replace("ratio", "fraction"))
    with pytest.raises(PowerModelError, match="expected `ratio`") as wrong:
        read_models(file)
    assert not isinstance(wrong.value.__cause__, OSError)


def test_bytes_that_are_no_text_are_an_unreadable_file(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PowerModelError, match="expected a readable power model file") as error:
        read_models(file)
    assert isinstance(error.value.__cause__, UnicodeDecodeError)


def test_only_an_option_of_a_command_may_name_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(TEXT.encode())))
    assert list(read_models("-", "--power-models").by_name) == ["worker-1"]
    with pytest.raises(PowerModelError, match="expected a readable power model file"):
        read_models("-")


def test_a_file_that_an_option_names_is_told_with_the_option(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"--power-models {file.parent}/none.yaml: expected a readable file"):
        read_models(file.with_name("none.yaml"), "--power-models")
