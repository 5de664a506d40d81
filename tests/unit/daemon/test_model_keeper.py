"""The power models in force while the model file changes, is wrong, or is missing."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peaks_scheduler.daemon.keepers.models import ModelKeeper
from peaks_scheduler.errors import PowerModelError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.settings.settings import PowerSettings, Settings
from tests.support.builders import ledger, models, node
from tests.unit.daemon.test_load_keeper import NODES, listen, said  # noqa: F401 - listen is a fixture


class TestModels:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "models.yaml"

    @staticmethod
    def text(k0: float = 100.0) -> str:
        curve = {"kind": "exponential", "k0": k0, "k1": -40.0, "k2": -7.0}
        return json.dumps({"models": [{"nodes": ["worker-1", "worker-2"], "cpu": "ratio", "curve": curve}]})

    @staticmethod
    def keeper(known: Ledger, changed: Callable[[], None] = lambda: None, **power: Any) -> ModelKeeper:
        return ModelKeeper(replace(Settings(), power=PowerSettings(**power)), known, changed)

    @staticmethod
    def k0(known: Ledger) -> list[float]:
        return known.snapshot().curves.base.tolist()

    @staticmethod
    def rewrite(file: Path, text: str) -> None:
        """Write as an editor does: the stamp differs however coarse the file system's clock is."""
        before = file.stat().st_mtime_ns if file.exists() else 0
        file.write_text(text)
        os.utime(file, ns=(before + 1, before + 1))

    def test_the_file_is_in_force_from_the_start(self, file: Path) -> None:
        file.write_text(self.text())
        known = ledger(*NODES)
        keeper = self.keeper(known, file=str(file))
        keeper.load()
        assert self.k0(known) == [100.0, 100.0]
        assert keeper.health().level == "ok"

    def test_a_changed_file_comes_into_force_and_an_unchanged_one_is_not_read_again(self, file: Path) -> None:
        changes: list[int] = []
        file.write_text(self.text())
        known = ledger(*NODES)
        keeper = self.keeper(known, lambda: changes.append(1), file=str(file))
        keeper.load()
        keeper.look()
        assert changes == []
        self.rewrite(file, self.text(k0=200.0))
        keeper.look()
        keeper.look()
        assert self.k0(known) == [200.0, 200.0]
        assert changes == [1]

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("models: [", id="no YAML"),
            pytest.param('{"models": [{"nodes": ["worker-1"]}]}', id="no curve"),
            pytest.param('{"models": [{"nodes": ["worker-1"], "curve": {"kind": "exponential"}}]}', id="no unit"),
            pytest.param("", id="empty"),
        ],
    )
    def test_a_file_that_is_wrong_leaves_the_last_good_models_in_force(
        self, file: Path, text: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        file.write_text(self.text())
        known = ledger(*NODES)
        keeper = self.keeper(known, file=str(file))
        keeper.load()
        self.rewrite(file, text)
        for _ in range(3):
            keeper.look()
        assert self.k0(known) == [100.0, 100.0]
        assert str(file) in keeper.failure
        assert keeper.health().level == "degraded"
        assert said(caplog, logging.WARNING) == ["power model file not used, the last good one stays in force"]
        self.rewrite(file, self.text(k0=200.0))
        keeper.look()
        assert (self.k0(known), keeper.failure) == ([200.0, 200.0], "")

    def test_a_file_that_is_taken_away_leaves_the_last_good_models_in_force(self, file: Path) -> None:
        file.write_text(self.text())
        known = ledger(*NODES)
        keeper = self.keeper(known, file=str(file))
        keeper.load()
        file.unlink()
        keeper.look()
        assert self.k0(known) == [100.0, 100.0]
        assert "No such file" in keeper.failure
        file.write_text(self.text(k0=200.0))
        keeper.look()
        assert (self.k0(known), keeper.failure) == ([200.0, 200.0], "")

    def test_a_config_map_that_turns_its_symbolic_link_is_noticed(self, tmp_path: Path) -> None:
        # as the kubelet mounts it: models.yaml -> ..data/models.yaml, ..data -> ..1, turned by a rename
        for name, k0 in (("..1", 100.0), ("..2", 200.0)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "models.yaml").write_text(self.text(k0))
            os.utime(tmp_path / name / "models.yaml", ns=(1, 1))
        (tmp_path / "..data").symlink_to("..1")
        (tmp_path / "models.yaml").symlink_to("..data/models.yaml")
        known = ledger(*NODES)
        keeper = self.keeper(known, file=str(tmp_path / "models.yaml"))
        keeper.load()
        (tmp_path / "..next").symlink_to("..2")
        (tmp_path / "..next").rename(tmp_path / "..data")
        keeper.look()
        assert self.k0(known) == [200.0, 200.0]

    def test_a_missing_file_is_a_warning_at_the_start_and_read_when_it_comes(
        self, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        known = ledger(*NODES)
        keeper = self.keeper(known, file=str(file))
        keeper.load()
        assert "no such file" in keeper.health().text
        assert said(caplog, logging.WARNING) == ["no power models"]
        file.write_text(self.text())
        keeper.look()
        assert self.k0(known) == [100.0, 100.0]
        assert keeper.health().level == "ok"

    @pytest.mark.parametrize("content", [b"models: [", b"\xff\xfe", None], ids=["no YAML", "no UTF-8", "a folder"])
    def test_a_file_that_cannot_be_used_at_the_start_is_an_error_that_names_it(
        self, file: Path, content: bytes | None
    ) -> None:
        if content is None:
            file.mkdir()
        else:
            file.write_bytes(content)
        with pytest.raises(PowerModelError, match=r"models\.yaml"):
            self.keeper(ledger(), file=str(file)).load()

    def test_without_a_file_the_inline_models_count(self) -> None:
        known = ledger(*NODES)
        keeper = self.keeper(known, inline=models((150.0, -40.0, -7.0)))
        keeper.load()
        assert (self.k0(known), keeper.failure) == ([150.0, 150.0], "")

    def test_without_any_model_that_is_shown(self) -> None:
        keeper = self.keeper(ledger(*NODES))
        keeper.load()
        assert keeper.health().text == "no power model file is configured: every node is unmodelled"

    def test_nodes_without_a_model_are_named(self, file: Path) -> None:
        file.write_text(self.text())
        keeper = self.keeper(ledger(*NODES, node("worker-9")), file=str(file))
        keeper.load()
        assert keeper.health().text == "nodes without a model: worker-9"

    def test_models_of_unlike_watts_are_told(self, file: Path) -> None:
        curve = {"kind": "linear", "idle": 100.0, "max": 200.0}
        entries = [
            {"nodes": [name], "cpu": "ratio", "curve": curve, **({"scope": scope} if scope else {})}
            for name, scope in (("worker-1", ""), ("worker-2", "package"))
        ]
        file.write_text(json.dumps({"models": entries}))
        keeper = self.keeper(ledger(node("worker-1"), node("worker-2")), file=str(file))
        keeper.load()
        assert keeper.health().text.startswith("models of unlike watts, the less of the machine the cheaper")
        assert keeper.health().text.endswith("(wall: worker-1; package: worker-2)")

    def test_nodes_that_several_selectors_match_are_named_and_stay_unmodelled(self, file: Path) -> None:
        curve = {"kind": "exponential", "k0": 100.0, "k1": -40.0, "k2": -7.0}
        selectors = ({"kubernetes.io/hostname": "worker-1"}, {"zone": "a"})
        selecting = [{"nodeSelector": selector, "cpu": "ratio", "curve": curve} for selector in selectors]
        file.write_text(json.dumps({"models": selecting}))
        keeper = self.keeper(ledger(node("worker-1", labels={"zone": "a"})), file=str(file))
        keeper.load()
        assert keeper.health().text == "nodes that several selectors match: worker-1"
