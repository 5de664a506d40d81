"""The table of settings: one row gives the file's key, the variable, the option with its help, and /configz."""

from __future__ import annotations

import re

import click
import pytest

from peaks_scheduler.cli import main
from peaks_scheduler.settings.loading import load_settings
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.settings.table import TABLE, Setting, redacted
from peaks_scheduler.settings.value_types import SWITCH

RUN = {parameter.name: parameter for parameter in main.commands["run"].params if isinstance(parameter, click.Option)}
every_setting = pytest.mark.parametrize("setting", TABLE, ids=lambda setting: setting.path)
every_option = pytest.mark.parametrize("setting", [each for each in TABLE if each.flag], ids=lambda each: each.flag)


def test_no_name_is_given_to_two_settings() -> None:
    for names in (
        [setting.path for setting in TABLE],
        [setting.attribute for setting in TABLE],
        [setting.flag for setting in TABLE if setting.flag],
    ):
        assert len(names) == len(set(names))


@every_setting
def test_each_setting_says_what_it_means_in_one_sentence(setting: Setting) -> None:
    assert re.fullmatch(r"[A-Z].*[^.]\.", setting.meaning)
    assert not re.search(r"\. [A-Z]", setting.meaning)


@every_setting
def test_a_default_is_shown_as_the_file_may_have_it(setting: Setting) -> None:
    default = load_settings(None, "", {}, {})[0]
    shown = setting.shown(default)
    assert shown is None or setting.value_type.parse(shown) == setting.value(default)


@every_option
def test_run_has_each_option_with_the_meaning_for_its_help(setting: Setting) -> None:
    option = RUN[setting.parameter]
    assert [*option.opts, *option.secondary_opts] == setting.flag.split("/")
    assert option.help is not None
    assert option.help.startswith(setting.meaning.replace("`", ""))
    assert "](" not in setting.meaning  # a terminal shows no links


@every_option
def test_an_option_is_named_as_its_variable_is(setting: Setting) -> None:
    assert setting.variable == "PEAKS_" + setting.flag.split("/")[0].removeprefix("--").replace("-", "_").upper()


def test_the_help_of_an_option_has_its_default() -> None:
    helps = {name: str(option.help) for name, option in RUN.items()}
    assert helps["load_source"].endswith("[default: load-watcher]")
    assert helps["listen"].endswith("[default: [::]:10261]")
    assert helps["leader_elect"].endswith("[default: leader-elect]")
    assert helps["refit"].endswith("[default: no-refit]")
    assert "[default" not in helps["node_metrics"]


def test_a_switch_that_is_not_given_leaves_the_file_alone() -> None:
    assert all(RUN[each.parameter].default is None for each in TABLE if each.flag and each.value_type is SWITCH)


def test_configz_has_every_key_of_the_file() -> None:
    def keys(tree: dict[str, object], above: str = "") -> set[str]:
        return {
            path
            for key, value in tree.items()
            for path in (keys(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}"})
        }

    assert keys(redacted(Settings())) == {setting.path for setting in TABLE} | {"nodePowerModel"}
