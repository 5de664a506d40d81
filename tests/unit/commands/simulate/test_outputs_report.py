"""The report and its figures: complete in one file, the same for the same results, and honest about chance."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from peaks_scheduler.commands.simulate.outputs.figures import (
    MOST_POINTS,
    Picture,
    draw,
    first_seeds,
    significant,
    thrifty_first,
    use_map,
)
from peaks_scheduler.commands.simulate.outputs.report import report
from peaks_scheduler.commands.simulate.outputs.seeds import mean
from peaks_scheduler.commands.simulate.outputs.series import averages, before, integral, thinned
from peaks_scheduler.commands.simulate.outputs.wording import conclusions, idle_kwh, load_sentence, simulated
from peaks_scheduler.objects.ceilings import Ceiling
from peaks_scheduler.power.curves import Exponential, Piecewise
from peaks_scheduler.simulation.case import LOAD_WATCHER, PERFECT, LoadView
from peaks_scheduler.simulation.cluster import Outage
from tests.support.simulation import GRID, A, B, Result, default, envelope, two_strategies, with_energy


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return draw(two_strategies())


@pytest.fixture(scope="module")
def page(pictures: list[Picture]) -> str:
    return report(two_strategies(), pictures, seed=7, notes=["2 pods left out: <too large>"])


class Text(HTMLParser):
    """What a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.seen.append(data)


def text(page: str) -> str:
    return " ".join(" ".join(Text(page).seen).split())


def said(results: list[Result]) -> str:
    return " ".join(conclusions(results))


def seeds(*pairs: tuple[float, float]) -> list[Result]:
    """(least-allocated, envelope) [kWh] of one seed after another."""
    made = [
        (with_energy(default(), base, seed), with_energy(envelope(), ours, seed))
        for seed, (base, ours) in enumerate(pairs)
    ]
    return [result for pair in made for result in pair]


def slower() -> list[Result]:
    """The same results from a slower machine."""
    figures = [(r, m, replace(m.kpis, decision_us=9e6)) for r, m in two_strategies()]
    return [(replace(r, decision_s=9.0), replace(m, kpis=kpis)) for r, m, kpis in figures]


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    targets = re.findall(r'(?:href|src)\s*=\s*"([^"]*)"', page)
    assert {target[:5] for target in targets if not target.startswith("#")} <= {"data:"}
    assert "http" not in page
    assert "<script" not in page


def test_the_page_is_well_formed(page: str) -> None:
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    assert root.find("body/figure/svg") is not None


def test_no_name_comes_twice_in_the_page(page: str) -> None:
    names = re.findall(r' id="([^"]*)"', page)
    assert len(names) == len(set(names))


def test_everything_that_a_figure_refers_to_is_there(page: str) -> None:
    wanted = set(re.findall(r'href="#([^"]*)"', page)) | set(re.findall(r"url\(#([^)]*)\)", page))
    assert wanted <= set(re.findall(r' id="([^"]*)"', page))


def test_the_page_says_what_was_simulated(page: str) -> None:
    assert "2 nodes with 6 cores, and 3 pods. Seed 7." in text(page)
    assert "2 pods left out: <too large>" in text(page)


def test_the_page_has_energy_and_saving_of_each_strategy(page: str) -> None:
    row = re.search(r"<th scope=\"row\">envelope</th>(.*?)</tr>", page)
    assert row is not None
    assert {"0.3025", "0.3000", "0.8333", "2.419"} <= set(re.findall(r"<td>(.*?)</td>", row[1]))


def test_the_page_leaves_out_what_differs_from_run_to_run(page: str, pictures: list[Picture]) -> None:
    assert report(slower(), pictures, seed=7, notes=["2 pods left out: <too large>"]) == page


def test_a_figure_that_was_not_counted_has_no_column(page: str) -> None:
    assert "CO2" not in page


def test_without_figures_the_page_has_its_table_and_says_why() -> None:
    page = report(two_strategies(), [], seed=1, notes=[], missing="no figures: they need matplotlib")
    assert "<table>" in page
    assert "no figures: they need matplotlib" in text(page)


def test_with_several_seeds_the_energy_has_an_interval() -> None:
    # mean 3, standard error 1 of two values: Student's t for one degree of freedom is 12.706
    results = [with_energy(default(), 2.0, 1), with_energy(default(), 4.0, 2)]
    assert "3 ± 13" in text(report(results, [], seed=1, notes=[]))


# --- what follows ---------------------------------------------------------------------------------------------------


def test_it_says_how_much_any_placement_could_save() -> None:
    assert "could have saved more than 3.2 % of the energy of least-allocated" in said(two_strategies())  # 0.01 / 0.31


def test_it_says_how_much_is_idle_power() -> None:
    assert idle_kwh(*default()) == pytest.approx(150.0 * 5400.0 / 3.6e6)  # 100 W and 50 W all the time
    assert "73 % of that energy is what nodes draw that are on and idle" in said(two_strategies())


def test_idle_power_of_a_node_that_may_sleep_can_be_saved() -> None:
    assert idle_kwh(*default(nodes=(A, replace(B, standby_watts=5.0)))) == pytest.approx(100.0 * 5400.0 / 3.6e6)


def test_one_seed_says_nothing_about_chance() -> None:
    assert "This is one seed." in said(two_strategies())


def test_a_saving_that_several_seeds_show_has_an_interval() -> None:
    # savings of 10, 11, 12 %: mean 11, standard error 1/sqrt(3), t(2) = 4.3027: 2.48
    assert "envelope 11.00 ± 2.48 %" in said(seeds((1.0, 0.90), (1.0, 0.89), (1.0, 0.88)))


def test_a_strategy_that_needs_more_is_told_so() -> None:
    assert "Needed more than least-allocated, mean and 95 % interval over the seeds: envelope 11.00 ± 2.48 %" in said(
        seeds((1.0, 1.10), (1.0, 1.11), (1.0, 1.12))
    )


def test_a_saving_within_its_interval_is_called_chance() -> None:
    words = said(seeds((1.0, 0.90), (1.0, 1.11)))
    assert "Not told from chance: envelope" in words
    assert "nothing is gained" in words


def test_equal_strategies_gain_nothing() -> None:
    assert "nothing is gained by placement" in said(
        [with_energy(default(), 0.31, 0), with_energy(envelope(), 0.3099, 0)]
    )


def test_unequal_work_is_told() -> None:
    replay, measurement = envelope()
    less = replace(measurement, kpis=replace(measurement.kpis, core_hours=3.0))
    assert "The work is not equal: envelope completed fewer core-hours" in said([default(), (replay, less)])


def test_different_ends_are_told() -> None:
    replay, measurement = envelope()
    later = replace(measurement, series=replace(measurement.series, end_s=7200.0))
    words = said([default(), (replay, later)])
    assert "The strategies end at different times, from 1.5 h to 2 h" in words
    assert "Up to 1.5 h, where all of them still run: least-allocated 0.31 kWh, envelope 0.3025 kWh." in words


def test_nodes_of_one_kind_are_told() -> None:
    assert "All nodes are of one kind" in said([default(nodes=(A, replace(A, name="b")))])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outages": (Outage("a", 0.0, 9.0),)}, "Nodes fail 1 time and come back"),
        ({"ceiling": Ceiling(0.8, None)}, "a ceiling of 80 % of its CPUs;"),
        ({"nodes": (A, replace(B, standby_watts=5.0))}, "1 node may sleep"),
        ({"nodes": (A, replace(B, curve=Exponential(50.0, 5.0, 1.0)))}, "The given curve of 1 node (b) bends"),
    ],
)
def test_special_circumstances_are_told(changes: dict[str, Any], words: str) -> None:
    assert words in " ".join(simulated([default(**changes)], 1, []))


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (LOAD_WATCHER, "as an average over 900 s, reported every 15 s."),
        (PERFECT, "as the use at one instant, reported before every decision."),
        (LoadView(60.0, 5.0, 3.0, ((0.0, 9.0),)), "over 60 s, reported every 5 s, 3 s late; 1 time no report came"),
    ],
)
def test_the_view_of_the_load_is_told(load: LoadView, words: str) -> None:
    assert words in load_sentence(load)


# --- the figures ----------------------------------------------------------------------------------------------------


def test_there_is_a_figure_of_power_energy_and_use(pictures: list[Picture]) -> None:
    assert [picture.name for picture in pictures] == ["power", "energy", "use"]


def test_co2_is_a_figure_where_carbon_is_counted() -> None:
    counted = [(r, replace(m, kpis=replace(m.kpis, co2_kg=0.1))) for r, m in [default(grid=GRID)]]
    assert [picture.name for picture in draw(counted)] == ["power", "energy", "co2", "use"]


def test_the_pictures_do_not_show_what_differs_from_run_to_run(pictures: list[Picture]) -> None:
    assert draw(slower()) == pictures


def test_the_pictures_do_without_colour(pictures: list[Picture]) -> None:
    colours = {colour for picture in pictures for colour in re.findall(rb"#[0-9a-f]{6}", picture.svg)}
    assert {colour for colour in colours if not colour[1:3] == colour[3:5] == colour[5:7]} == set()


def test_nodes_stand_by_watts_a_core() -> None:
    # 200 W / 4 cores, 90 W / 2 cores, 30 W / 1 core
    c = replace(B, name="c", cpu_cores=1.0, curve=Piecewise((0.0, 1.0), (10.0, 30.0)))
    assert [node.name for node in thrifty_first([A, B, c])] == ["c", "b", "a"]


def test_the_map_has_the_use_of_each_node_over_time() -> None:
    use = use_map([A, B], default()[1], 5400.0)
    # 240 spans of 22.5 s; a: 2 of 4 cores at first, 3 from 1,800 s on, 1 at last; b: 1 of 2 cores from 600 s to 2,400 s
    assert use[:, [0, 100, 200]].tolist() == [pytest.approx([0.5, 0.75, 0.25]), pytest.approx([0.0, 0.5, 0.0])]


def test_of_many_seeds_the_first_is_drawn() -> None:
    assert [replay.case.seed for replay, _ in first_seeds(seeds((1.0, 1.0), (2.0, 2.0)))] == [0, 0]


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (0.31, "0.3100"), (1651.52, "1,652"), (123456.0, "123,456"), (0.999999, "1.000"), (-2.5, "-2.500")],
)
def test_numbers_are_for_reading(value: float, words: str) -> None:
    assert significant(value) == words


# --- averages -------------------------------------------------------------------------------------------------------


def test_thinning_keeps_the_energy() -> None:
    rng = np.random.default_rng(1)
    times, watts = np.sort(rng.uniform(0.0, 1e5, 9000)), rng.uniform(100.0, 200.0, 9000)
    by, thin = thinned(times, watts, 1.1e5, MOST_POINTS)
    energy = float(np.sum(watts * np.diff(np.append(times, 1.1e5))))
    assert len(by) == MOST_POINTS + 1
    assert float(np.sum(thin[:-1] * np.diff(by))) == pytest.approx(energy, rel=1e-12)


def test_a_short_series_stays_as_it_is() -> None:
    times, values = thinned(np.array([0.0, 2.0]), np.array([5.0, 7.0]), 10.0, 2)
    assert (times.tolist(), values.tolist()) == ([0.0, 2.0, 10.0], [5.0, 7.0, 7.0])


def test_an_average_counts_each_value_for_its_time() -> None:
    times, values = np.array([0.0, 2.0]), np.array([5.0, 7.0])
    assert averages(times, values, 10.0, np.array([0.0, 4.0, 12.0])).tolist() == [6.0, 5.25]  # (2*5 + 2*7)/4, 6*7/8


def test_nothing_counts_before_the_begin_and_after_the_end() -> None:
    at = np.array([-1.0, 3.0, 99.0])
    assert integral(np.array([1.0]), np.array([5.0]), 4.0, at).tolist() == [0.0, 10.0, 15.0]


def test_the_value_before_a_step_is_the_old_one() -> None:
    assert before(np.array([0.0, 2.0]), np.array([5.0, 7.0]), np.array([0.0, 2.0, 2.1])).tolist() == [5.0, 5.0, 7.0]


def test_a_mean_of_one_has_no_margin() -> None:
    assert mean([4.0]).margin is None
