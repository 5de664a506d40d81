"""Which series are used for a node's watts and CPU use, which node a series is of, and the notes on other series.

Expected watts are those that the played sensors were given; zones as Kepler has them: psys holds package, package holds
core, so that any sum of these would show as too many watts.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from peaks_scheduler.errors import LoadError
from peaks_scheduler.fitting.alignment import align
from peaks_scheduler.settings.promql_matchers import parse_matchers
from peaks_scheduler.sources.node_identity import NodeAddresses
from peaks_scheduler.sources.power_history.discovery import Discovery, NodeHistory, discover
from peaks_scheduler.sources.power_history.node_queries import AllAtOnce
from peaks_scheduler.sources.power_history.node_totals import read_totals
from peaks_scheduler.sources.power_history.plan import Queries
from peaks_scheduler.sources.power_history.survey import survey
from peaks_scheduler.sources.prometheus.grid import Grid
from tests.support.played_prometheus import PlayedPrometheus, Raw, raw

IPMI = "ipmi_dcmi_power_consumption_watts"
"""As ipmi_exporter has it in its code; its documentation says ..._current_watts."""
START, END, STEP = 1_700_000_000.0 // 60 * 60, 1_700_000_000.0 // 60 * 60 + 7200.0, 60.0
MIDDLE = (START + END) / 2
CPUS = 4


def busy(
    share: float, *, since: float = START, start: float = START, end: float = END, cpus: int = CPUS, **labels: str
) -> Iterator[Raw]:
    """node_exporter's counters of a node that is busy for this share of the time."""
    for cpu in range(cpus):
        for mode, part in (("user", share), ("idle", 0.9 * (1 - share)), ("iowait", 0.1 * (1 - share))):
            yield raw(
                "node_cpu_seconds_total",
                lambda t, part=part: part * (t - since),
                start,
                end,
                cpu=str(cpu),
                mode=mode,
                **labels,
            )


def joules(
    name: str, watts: float, *, since: float = START - 100.0, start: float = START, end: float = END, **labels: str
) -> Raw:
    return raw(name, lambda t: watts * (t - since), start, end, **labels)


def gauge(name: str, watts: float, **labels: str) -> Raw:
    return raw(name, watts, START, END, **labels)


def zone(zone: str, watts: float, *, node: str = "worker-1", path: str = "0", **times: float) -> Raw:
    return joules("kepler_node_cpu_joules_total", watts, zone=zone, path=path, node_name=node, **times)


METERS = {"platform": "acpi"}


def old(zone: str, watts: float, *, mode: str = "dynamic", package: str = "0", source: str = "", **times: float) -> Raw:
    said = source or METERS.get(zone, "rapl-sysfs")
    labels = {"mode": mode, "package": package, "instance": "worker-1", "source": said}
    return joules(f"kepler_node_{zone}_joules_total", watts, **labels, **times)  # type: ignore[arg-type]


def platform(watts: float, **labels: str) -> Raw:
    return gauge("kepler_platform_watts", watts, **{"source": "redfish", "node_name": "worker-1", **labels})


def bmc(name: str, watts: float) -> Raw:
    """A sensor as ipmi_exporter's collector ``ipmi`` has it."""
    sensor = gauge("ipmi_power_watts", watts, id=name, instance="worker-1:9290")
    return replace(sensor, labels={**sensor.labels, "name": name})


def acpi(chip: str, watts: float) -> Raw:
    """A power sensor as node_exporter's collector ``hwmon`` has it."""
    return gauge("node_hwmon_power_average_watt", watts, chip=chip, sensor="power1", instance="worker-1")


def rapl(zone: str, watts: float, *, index: str = "0", mmio: bool = False) -> Raw:
    """A zone as node_exporter's collector ``rapl`` has it."""
    path = f"/sys/class/powercap/intel-rapl{'-mmio' if mmio else ''}:{index}{'' if zone == 'package' else ':' + zone}"
    return joules(f"node_rapl_{zone}_joules_total", watts, index=index, path=path, instance="worker-1")  # type: ignore[arg-type]


def labelled(zone: str, watts: float) -> Raw:
    path = f"/sys/class/powercap/intel-rapl:0:{zone}"
    return joules("node_rapl_joules_total", watts, index="0", path=path, rapl_zone=zone, instance="worker-1")  # type: ignore[arg-type]


def scaphandre(watts: float, source: str) -> Raw:
    return gauge("scaph_host_power_microwatts", 1e6 * watts, value_source=source, instance="worker-1:8080")


CPU = tuple(busy(0.25, instance="worker-1"))
ZONES = (zone("psys", 90), zone("package", 70), zone("core", 50), zone("uncore", 5), zone("dram", 10))


async def found(series: Iterable[Raw], **more: object) -> Discovery:
    api = more.pop("api", None) or PlayedPrometheus(tuple(series))
    return await discover(api, START, END, STEP, **more)  # type: ignore[arg-type]


async def only(series: Iterable[Raw], **more: object) -> NodeHistory:
    discovery = await found(series, **more)
    assert discovery.incomplete == {}
    (node,) = discovery.nodes
    return node


def means(node: NodeHistory) -> tuple[float, float]:
    """CPU use and watts."""
    samples = align(node.cpu, node.power).samples
    assert len(samples) > 10
    return float(samples.cpu.mean()), float(samples.watts.mean())


def watts(node: NodeHistory) -> float:
    return means(node)[1]


# --- which series counts ----------------------------------------------------------------------------------------------


class TestWhichSeriesCounts:
    async def test_what_measures_more_of_the_machine_counts_and_nothing_is_added_to_it(self) -> None:
        node = await only([*CPU, *ZONES, platform(120)])
        assert (node.part, watts(node)) == ("platform", pytest.approx(120.0))
        node = await only([*CPU, *ZONES])
        assert (node.part, watts(node)) == ("psys", pytest.approx(90.0))

    async def test_without_psys_the_memory_is_added_to_the_packages_and_no_other_zone(self) -> None:
        node = await only([*CPU, *ZONES[1:]])
        assert (node.part, watts(node)) == ("package + dram", pytest.approx(80.0))

    async def test_without_memory_the_packages_count_alone_and_it_is_said(self) -> None:
        node = await only([*CPU, zone("package", 70), zone("core", 50), zone("dram", 0)])
        assert (node.part, watts(node)) == ("package", pytest.approx(70.0))
        assert 'without kepler_node_cpu_joules_total{zone="dram"}: it stands still, so that nothing is measured' in (
            node.notes
        )

    async def test_sockets_of_a_zone_are_added(self) -> None:
        node = await only([*CPU, zone("package", 70), zone("package", 60, path="1"), zone("dram", 10)])
        assert watts(node) == pytest.approx(140.0)

    async def test_old_keplers_parts_and_sockets_are_added(self) -> None:
        parts = [("dynamic", "0", 30), ("idle", "0", 40), ("dynamic", "1", 20), ("idle", "1", 41)]
        series = [old("package", w, mode=mode, package=package) for mode, package, w in parts]
        node = await only([*CPU, *series, old("dram", 9), old("core", 50)])
        assert (node.part, watts(node)) == ("package + dram", pytest.approx(30 + 40 + 20 + 41 + 9))

    async def test_old_keplers_platform_comes_before_its_packages(self) -> None:
        node = await only([*CPU, old("platform", 15), old("platform", 100, mode="idle"), old("package", 132)])
        assert (node.part, watts(node)) == ("platform", pytest.approx(115.0))

    async def test_a_counter_comes_before_the_gauge_of_the_same_zone(self) -> None:
        rounded = gauge("kepler_node_cpu_watts", 71, zone="package", path="0", node_name="worker-1")
        node = await only([*CPU, rounded, zone("package", 70.4)])
        assert watts(node) == pytest.approx(70.4)

    @pytest.mark.parametrize(
        ("series", "expected"),
        [
            ([gauge(IPMI, 210, instance="worker-1:9290")], ("wall", 210.0)),
            ([gauge("ipmi_dcmi_power_consumption_current_watts", 210, instance="worker-1:9290")], ("wall", 210.0)),
            ([bmc("Pwr Consumption", 210), bmc("CPU Power", 90), bmc("PS1 Input Power", 105)], ("wall", 210.0)),
            ([acpi("lnxsybus:00_acpi000d:00", 200), acpi("pci0000:00_0000:c1:00_0", 30)], ("platform", 200.0)),
            ([rapl("package", 70), rapl("package", 70, mmio=True), rapl("dram", 9)], ("package", 79.0)),
            ([rapl("package", 70), rapl("package", 60, index="1")], ("package", 130.0)),
            ([rapl("psys", 90), rapl("package", 70)], ("platform", 90.0)),
            ([labelled("package", 70), labelled("dram", 9)], ("package", 79.0)),
            ([scaphandre(95, "powercap_rapl_pkg")], ("package", 95.0)),
            ([scaphandre(95, "powercap_rapl_psys"), zone("package", 70)], ("platform", 95.0)),
            ([scaphandre(95, "")], ("package", 95.0)),
        ],
        ids=[
            "ipmi",
            "ipmi-as-documented",
            "bmc-sensors-are-not-added",
            "acpi-power-meter-of-all-chips",
            "rapl-by-two-doors",
            "rapl-of-two-sockets",
            "rapl-psys",
            "rapl-with-zone-label",
            "scaphandre",
            "scaphandre-psys",
            "scaphandre-that-does-not-say",
        ],
    )
    async def test_other_meters_are_known_too(self, series: list[Raw], expected: tuple[str, float]) -> None:
        node = await only([*CPU, *series])
        assert (node.scope, watts(node), node.doubt) == (expected[0], pytest.approx(expected[1]), "")

    async def test_the_name_that_ipmi_exporter_has_comes_before_the_one_of_its_documentation(self) -> None:
        documented = gauge("ipmi_dcmi_power_consumption_current_watts", 190, instance="worker-1:9290")
        real = gauge(IPMI, 210, instance="worker-1:9290")
        assert watts(await only([*CPU, documented, real])) == pytest.approx(210.0)

    async def test_a_meter_of_the_whole_machine_comes_before_keplers_packages(self) -> None:
        ipmi = gauge(IPMI, 210, instance="worker-1:9290")
        assert (await only([*CPU, ipmi, zone("package", 70)])).part == "platform"


MODEL = "trained_power_model"


def info(platform: str = "", components: str = "", *, start: float = START, end: float = END) -> Raw:
    """What ``kepler_node_info`` of an old Kepler says about its watts."""
    told = {"platform_power_source": platform, "components_power_source": components}
    labels = {label: value for label, value in told.items() if value}
    return raw("kepler_node_info", 1.0, start, end, cpu_architecture="Skylake", instance="worker-1", **labels)


class TestEstimates:
    """Without a sensor old Kepler exports the same metrics, estimated by a model."""

    @pytest.mark.parametrize(
        "meter",
        [
            gauge(IPMI, 30, instance="worker-1:9290"),
            zone("package", 30),
            old("package", 30),
            rapl("package", 30),
            scaphandre(30, ""),
        ],
        ids=["ipmi", "new-kepler", "old-keplers-rapl", "node-exporter", "scaphandre"],
    )
    async def test_an_estimate_of_the_whole_machine_comes_behind_any_measurement(self, meter: Raw) -> None:
        node = await only([*CPU, old("platform", 200, source=MODEL), meter])
        assert (watts(node), node.doubt) == (pytest.approx(30.0), "")
        assert node.scope != "estimate"

    async def test_alone_it_is_taken_for_what_it_is(self) -> None:
        node = await only([*CPU, old("platform", 40, source=MODEL), old("package", 12, source=MODEL)])
        assert (node.scope, node.part, watts(node)) == ("estimate", "platform", pytest.approx(40.0))
        assert "'trained_power_model'" in node.doubt

    async def test_of_two_sources_the_sensor_counts_though_the_model_says_more(self) -> None:
        node = await only([*CPU, old("package", 70), old("package", 300, source=MODEL), old("dram", 9, source=MODEL)])
        assert (node.scope, node.part, watts(node)) == ("package", "package", pytest.approx(70.0))

    @pytest.mark.parametrize(
        ("series", "told", "words"),
        [
            (old("platform", 40, source="rapl-sysfs"), None, "'rapl-sysfs', which is not known to be a sensor of the"),
            (old("platform", 40), info(platform="none"), "platform_power_source 'none'"),
            (old("package", 40), info(components="estimator"), "components_power_source 'estimator'"),
            (
                old("package", 40, source="intel_rapl"),
                info(components="estimator"),
                "source of the series is 'intel_rapl'",
            ),
            (old("package", 40, source="bespoke"), None, "'bespoke', which is not known to be a sensor"),
            (old("package", 40, source="-"), None, "nothing else says that a sensor has measured it"),
            (old("package", 40, source="-"), info(components="estimator"), "components_power_source 'estimator'"),
            (old("package", 40, source=MODEL), info(components="rapl-sysfs"), "'trained_power_model'"),
        ],
        ids=[
            "rapl-measures-no-platform",
            "acpi-that-is-not-there",
            "rapl-that-is-not-there",
            "under-its-older-name",
            "not-known-is-not-measured",
            "not-said-is-not-measured",
            "not-said-and-denied",
            "the-series-admits-it",
        ],
    )
    async def test_the_label_and_what_kepler_says_of_the_node_have_to_agree(
        self, series: Raw, told: Raw | None, words: str
    ) -> None:
        node = await only([*CPU, without_source(series), *([told] if told else ())])
        assert node.scope == "estimate"
        assert words in node.doubt

    @pytest.mark.parametrize(
        ("series", "told", "scope"),
        [
            (old("platform", 40), info(platform="acpi"), "platform"),
            (old("platform", 40), info(platform="redfish"), "wall"),
            (old("platform", 40, source="redfish"), None, "wall"),
            (old("platform", 40, source="-"), info(platform="acpi"), "platform"),
            (old("package", 40), info(platform="none", components="rapl-sysfs"), "package"),
            (old("package", 40, source="rapl-msr"), info(), "package"),
            (old("package", 40, source="ampere-xgene-hwmon"), None, "package"),
        ],
        ids=["acpi", "redfish-labelled-acpi", "redfish", "not-labelled", "rapl", "an-older-info", "ampere"],
    )
    async def test_a_sensor_is_one_where_nothing_denies_it(self, series: Raw, told: Raw | None, scope: str) -> None:
        node = await only([*CPU, without_source(series), *([told] if told else ())])
        assert (node.scope, node.doubt) == (scope, "")

    async def test_a_kepler_that_was_started_again_and_found_its_sensors_is_believed(self) -> None:
        before, after = info(components="estimator", end=MIDDLE), info(components="rapl-sysfs", start=MIDDLE + 30)
        assert (await only([*CPU, old("package", 40), before, after])).scope == "package"
        assert (await only([*CPU, old("package", 40), after, info(components="estimator")])).scope == "estimate"

    async def test_a_sensor_that_says_0_leaves_the_estimate_and_it_is_said(self) -> None:
        node = await only([*CPU, old("package", 0), old("package", 40, source=MODEL)])
        assert node.scope == "estimate"
        assert any("passed over kepler_node_package_joules_total" in note for note in node.notes)

    async def test_keplers_fake_meter_is_none(self) -> None:
        node = await only([*CPU, zone("package", 70, path="/sys/class/powercap/intel-rapl/energy_package")])
        assert (node.scope, "fake meter" in node.doubt) == ("estimate", True)

    async def test_a_query_for_an_estimate_is_one_too(self) -> None:
        query = "sum without (mode) (kepler_node_platform_joules_total)"
        for source, told, scope in ((MODEL, (), "estimate"), ("acpi", (), "platform"), ("", (), "platform")):
            labels = {"instance": "worker-1", **({"source": source} if source else {})}
            api = PlayedPrometheus([*CPU, *told], {query: [joules("", 40, **labels)]})  # type: ignore[arg-type]
            assert (await only([], api=api, power_query=query)).scope == scope
        api = PlayedPrometheus([*CPU, info(platform="none")], {query: [joules("", 40, instance="worker-1")]})  # type: ignore[arg-type]
        assert (await only([], api=api, power_query=query)).scope == "estimate"


def without_source(series: Raw) -> Raw:
    """The series without the label ``source``, if its value here is ``-``."""
    labels = {label: value for label, value in series.labels.items() if (label, value) != ("source", "-")}
    return replace(series, labels=labels)


class TestRedfish:
    async def test_power_supplies_of_a_chassis_are_added(self) -> None:
        supplies = [
            platform(w, chassis_id="1", source_type="PowerSupply", source_id=f"PSU{i}")
            for i, w in enumerate((130, 110))
        ]
        assert watts(await only([*CPU, *supplies])) == pytest.approx(240.0)

    async def test_an_enclosure_is_not_added_to_the_server(self) -> None:
        server = platform(240, chassis_id="System.1", source_type="PowerSupply", source_id="PSU1")
        enclosure = platform(125, chassis_id="Enclosure.0", source_type="PowerSupply", source_id="PSU1")
        node = await only([*CPU, server, enclosure])
        assert watts(node) == pytest.approx(240.0)
        assert any("comes 2 times, the largest is used" in note and "System.1" in note for note in node.notes)

    async def test_power_controls_overlap_and_the_largest_counts(self) -> None:
        controls = [
            platform(w, chassis_id="1", source_type="PowerControl", source_id=name, source_name=name)
            for name, w in (("Server", 450), ("CPU", 85), ("Memory", 30))
        ]
        assert watts(await only([*CPU, *controls])) == pytest.approx(450.0)


class TestWhatIsAbsent:
    async def test_a_constant_0_is_no_sensor_and_the_next_series_is_taken_and_said(self) -> None:
        node = await only([*CPU, platform(0), zone("psys", 0), zone("package", 70)])
        assert (node.part, watts(node)) == ("package", pytest.approx(70.0))
        assert "passed over kepler_platform_watts: a constant 0, so that nothing is measured" in node.notes
        assert any("psys" in note and "stands still" in note for note in node.notes)

    async def test_a_node_whose_sensors_all_say_0_is_named_with_the_reason(self) -> None:
        discovery = await found([*CPU, platform(0), zone("package", 0)])
        assert discovery.nodes == ()
        assert "a constant 0" in discovery.incomplete["worker-1"]

    async def test_values_that_are_no_number_are_left_out(self) -> None:
        flaky = raw(
            IPMI,
            lambda t: float("nan") if t // 60 % 10 == 3 else 210.0,
            START,
            END,
            instance="worker-1:9290",
        )
        assert watts(await only([*CPU, flaky])) == pytest.approx(210.0)


# --- sums over time ---------------------------------------------------------------------------------------------------


class TestRestarts:
    async def test_a_counter_that_begins_again_costs_one_interval_and_no_watts(self) -> None:
        again = raw("kepler_node_cpu_joules_total", lambda t: 70 * ((t - START) % 3700), START, END, **ZONE)
        node = await only([*CPU, again])
        aligned = align(node.cpu, node.power)
        assert aligned.samples.watts == pytest.approx(np.full(len(aligned.samples), 70.0))
        assert "power: 1 counter reset, not bridged" in aligned.notes

    async def test_one_socket_that_begins_again_does_not_pass_for_a_reset_of_both(self) -> None:
        steady = zone("package", 60, since=START - 1e6, path="1")
        again = raw("kepler_node_cpu_joules_total", lambda t: 70 * ((t - START) % 3700), START, END, **ZONE)
        node = await only([*CPU, again, steady])
        samples = align(node.cpu, node.power).samples
        assert samples.watts == pytest.approx(np.full(len(samples), 130.0))

    async def test_an_exporter_that_comes_back_as_another_pod_is_the_same_node(self) -> None:
        pods = [
            zone_of_pod("kepler-abc", START, MIDDLE, since=START - 1e5),
            zone_of_pod("kepler-xyz", MIDDLE + 30, END, since=MIDDLE),
        ]
        node = await only([*CPU, *pods])
        samples = align(node.cpu, node.power).samples
        assert samples.watts == pytest.approx(np.full(len(samples), 70.0))
        assert len(samples) > 110  # of 120 minutes

    async def test_while_a_socket_is_missing_nothing_is_measured(self) -> None:
        late = zone("package", 60, path="1", start=START + 1800)
        node = await only([*CPU, zone("package", 70), late])
        aligned = align(node.cpu, node.power)
        assert aligned.samples.watts == pytest.approx(np.full(len(aligned.samples), 130.0))
        assert aligned.samples.time is not None
        assert aligned.samples.time[0] > START + 1800

    async def test_the_same_exporter_scraped_by_two_jobs_counts_once(self) -> None:
        twice = [joules("kepler_node_cpu_joules_total", 70, job=job, **ZONE) for job in ("kepler", "kepler-2")]
        assert watts(await only([*CPU, *twice])) == pytest.approx(70.0)


ZONE = {"zone": "package", "path": "0", "node_name": "worker-1"}


def zone_of_pod(pod: str, start: float, end: float, since: float) -> Raw:
    return joules("kepler_node_cpu_joules_total", 70, since=since, start=start, end=end, pod=pod, **ZONE)


# --- CPU --------------------------------------------------------------------------------------------------------------


class TestCpu:
    async def test_busy_is_what_is_neither_idle_nor_iowait_of_all_cpus_that_are_counted(self) -> None:
        node = await only([*CPU, platform(120)])
        assert (node.cpus, node.cpu_source) == (CPUS, "node_cpu_seconds_total")
        assert means(node)[0] == pytest.approx(0.25)

    async def test_without_node_exporter_kepler_tells_it(self) -> None:
        node = await only([gauge("kepler_node_cpu_usage_ratio", 0.4, node_name="worker-1"), platform(120)])
        assert (node.cpu_source, means(node)[0]) == ("kepler_node_cpu_usage_ratio", pytest.approx(0.4))

    async def test_while_a_cpu_is_offline_nothing_is_measured(self) -> None:
        fewer = [*busy(0.5, instance="worker-1", end=START + 1800, cpus=2)]
        more = [*busy(0.5, instance="worker-1", start=START + 1815)]
        node = await only([*more, *fewer, platform(120)])
        assert node.cpus == CPUS
        assert means(node)[0] == pytest.approx(0.5)
        assert any("the number of CPUs changed" in note for note in node.notes)

    async def test_a_query_of_ones_own_in_percent(self) -> None:
        api = PlayedPrometheus([platform(120)], PERCENT)
        node = await only([], api=api, cpu_query="cpu_percent", cpu_unit="percent")
        assert means(node)[0] == pytest.approx(0.37)

    async def test_a_query_whose_values_are_no_ratio_is_refused_in_words(self) -> None:
        api = PlayedPrometheus([platform(120)], PERCENT)
        discovery = await found([], api=api, cpu_query="cpu_percent")
        assert (
            "its CPU reaches 37, which is no ratio: say whether it is percent or cores"
            in (discovery.incomplete["worker-1"])
        )

    async def test_a_counter_of_cpu_seconds_wants_the_number_of_cpus(self) -> None:
        query = "sum by (node) (busy_seconds_total)"
        api = PlayedPrometheus([platform(120)], {query: [joules("", 1.0, node="worker-1")]})
        assert means(await only([], api=api, cpu_query=query, cores=4.0))[0] == pytest.approx(0.25)
        refused = await found([], api=api, cpu_query=query)
        assert "say how many CPUs a node has" in refused.incomplete["worker-1"]


def over_time(query: str) -> str:
    """The query that a custom gauge is asked for by: its mean over each step."""
    return f"avg_over_time(({query})[60s:15s])"


PERCENT = {over_time("cpu_percent"): [gauge("", 37.0, node="worker-1")]}


# --- queries of one's own ---------------------------------------------------------------------------------------------


class TestQueriesForPower:
    @pytest.mark.parametrize(
        ("query", "asked", "series"),
        [
            ("pdu_watts", over_time("pdu_watts"), gauge("", 230.0, node="worker-1")),
            ("pdu_milliwatts", over_time("pdu_milliwatts"), gauge("", 230e3, node="worker-1")),
            ("pdu_joules_total", "pdu_joules_total", joules("", 230.0, node="worker-1")),
            (
                "scaph_host_energy_microjoules",
                "scaph_host_energy_microjoules",
                joules("", 230e6, node="worker-1"),
            ),
            (
                "sum by (node) (rate(pdu_joules_total[2m]))",
                over_time("sum by (node) (rate(pdu_joules_total[2m]))"),
                gauge("", 230.0, node="worker-1"),
            ),
        ],
        ids=["watts", "milliwatts", "joules", "microjoules", "rate-of-joules"],
    )
    async def test_its_kind_and_its_unit_are_told_by_the_names_in_it(self, query: str, asked: str, series: Raw) -> None:
        node = await only([], api=PlayedPrometheus(CPU, {asked: [series]}), power_query=query)
        assert (node.part, watts(node)) == ("query", pytest.approx(230.0))

    async def test_several_series_of_a_node_are_added_and_it_is_said(self) -> None:
        feeds = [gauge("", w, node="worker-1", outlet=str(i)) for i, w in enumerate((120.0, 110.0))]
        node = await only([], api=PlayedPrometheus(CPU, {over_time("pdu_watts"): feeds}), power_query="pdu_watts")
        assert watts(node) == pytest.approx(230.0)
        assert "2 series of the query were added" in node.notes


# --- whose series -----------------------------------------------------------------------------------------------------


class TestNames:
    async def test_exporters_on_other_ports_of_one_host_are_one_node(self) -> None:
        power = gauge(IPMI, 210, instance="10.0.0.7:9290")
        node = await only([*busy(0.25, instance="10.0.0.7:9100"), power])
        assert (node.node, watts(node)) == ("10.0.0.7", pytest.approx(210.0))

    async def test_a_label_about_nodes_counts_before_the_instance(self) -> None:
        cpu = busy(0.25, instance="10.0.0.7:9100", node="worker-1")
        power = joules("kepler_node_cpu_joules_total", 70, instance="10.244.1.9:28282", **ZONE)
        assert (await only([*cpu, power])).node == "worker-1"

    async def test_uname_tells_the_name_behind_an_address(self) -> None:
        uname = gauge("node_uname_info", 1.0, nodename="worker-1", instance="10.0.0.7:9100")
        node = await only([*busy(0.25, instance="10.0.0.7:9100"), uname, zone("package", 70)])
        assert (node.node, node.cpu_source) == ("worker-1", "node_cpu_seconds_total")

    async def test_what_an_exporter_calls_itself_is_a_name_too(self) -> None:
        power = joules(
            "kepler_node_package_joules_total",
            70,
            mode="idle",
            package="0",
            instance="10.244.1.9:9102",
            exported_instance="worker-1",
        )
        assert (await only([*CPU, power])).node == "worker-1"

    async def test_a_node_with_only_one_of_the_two_is_named_with_the_reason(self) -> None:
        discovery = await found(
            [*CPU, platform(120), *busy(0.5, instance="worker-2"), zone("package", 70, node="worker-3")]
        )
        assert [node.node for node in discovery.nodes] == ["worker-1"]
        assert discovery.incomplete["worker-2"] == "CPU, but no series of its power"
        assert "no node has this name" in discovery.incomplete["worker-3"]

    async def test_a_name_that_may_mean_two_nodes_is_nobodys(self) -> None:
        discovery = await found(
            [
                *busy(0.5, instance="worker-1.east.example.org"),
                *busy(0.5, instance="worker-1.west.example.org"),
                zone("package", 70),
            ]
        )
        assert discovery.nodes == ()
        assert discovery.incomplete["worker-1"].startswith("it may be any of")

    async def test_in_a_cluster_a_series_is_one_of_its_nodes_or_nobodys(self) -> None:
        api = PlayedPrometheus(
            [
                *busy(0.25, instance="10.0.0.7:9100"),
                *busy(0.25, instance="10.0.0.99:9100"),
                gauge(IPMI, 210, instance="10.0.0.7:9290"),
            ]
        )
        nodes = [NodeAddresses("worker-1", addresses=("10.0.0.7",))]
        there = await survey(api, Grid(START, END, STEP), Queries(), nodes)  # type: ignore[arg-type]
        assert [plan.node for plan in there.plans] == ["worker-1"]
        assert not any("uname" in query for query in api.asked)  # the list of nodes has their names


# --- two clusters, replicas, exporters that ask others ----------------------------------------------------------------


def wave(t: float) -> float:
    """Busy share of a machine: 5 to 95 % within the hour."""
    return 0.5 + 0.45 * float(np.sin(2 * np.pi * (t - START) / 3600.0))


def waved(watts: float, **labels: str) -> list[Raw]:
    """A machine whose load varies, and its meter."""
    idle = raw("node_cpu_seconds_total", lambda t: t - START, START, END, cpu="0", mode="idle", **labels)
    hour = 3600.0 / (2 * np.pi)
    since = raw(
        "node_cpu_seconds_total",
        lambda t: watts + 0.5 * (t - START) + 0.45 * hour * (1.0 - float(np.cos((t - START) / hour))),
        START,
        END,
        cpu="0",
        mode="user",
        **labels,
    )
    return [idle, since, gauge("scaph_host_power_microwatts", 0.0, **labels), _meter(watts, **labels)]


def _meter(watts: float, **labels: str) -> Raw:
    return raw(IPMI, lambda t: watts * (1.0 + wave(t)), START, END, **labels)


PROD, LAB = waved(200.0, node="worker-1", cluster="prod"), waved(80.0, node="worker-1", cluster="lab")
IN_LAB = parse_matchers('cluster="lab"')


class TestClusters:
    async def test_two_clusters_with_a_node_of_one_name_give_it_no_model_and_say_what_to_do(self) -> None:
        discovery = await found([*PROD, *LAB])
        assert discovery.nodes == ()
        said = discovery.incomplete["worker-1"]
        assert "differ in cluster ('lab', 'prod')" in said
        assert "--prometheus-match 'cluster=\"lab\"'" in said

    async def test_a_matcher_chooses_and_goes_into_every_query(self) -> None:
        api = PlayedPrometheus([*PROD, *LAB], match=IN_LAB)
        node = await only([], api=api)
        assert watts(node) == pytest.approx(80.0 * 1.5, rel=0.02)
        assert [query for query in api.asked if 'cluster="lab"' not in query] == []

    async def test_a_query_of_ones_own_stays_as_it_is_and_its_series_are_chosen_from(self) -> None:
        own = {over_time("pdu_watts"): [_meter(w, node="worker-1", cluster=c) for c, w in (("prod", 200), ("lab", 80))]}
        series = [each for each in (*PROD, *LAB) if each.name.startswith("node_")]
        api = PlayedPrometheus(series, own, match=IN_LAB)
        assert watts(await only([], api=api, power_query="pdu_watts")) == pytest.approx(80.0 * 1.5, rel=0.02)

    async def test_its_series_of_two_clusters_are_never_added(self) -> None:
        """The CPU series agree, because one cluster has no node_exporter."""
        own = {over_time("pdu_watts"): [_meter(w, node="worker-1", cluster=c) for c, w in (("prod", 200), ("lab", 80))]}
        discovery = await found([], api=PlayedPrometheus(CPU, own), power_query="pdu_watts")
        assert "pdu_watts: several series contradict each other" in discovery.incomplete["worker-1"]

    async def test_a_lesser_series_does_not_take_the_place_of_one_that_disagrees(self) -> None:
        meters = [_meter(w, node="worker-1", cluster=c) for c, w in (("prod", 200), ("lab", 80))]
        discovery = await found([*CPU, *meters, zone("package", 70)])
        assert discovery.nodes == ()

    async def test_parts_of_two_clusters_are_never_added_whatever_they_are_called(self) -> None:
        sockets = [
            joules("kepler_node_cpu_joules_total", 70, zone="package", path=path, node_name="worker-1", cluster=cluster)
            for cluster, path in (("prod", "intel-rapl:0"), ("lab", "package-0"))
        ]
        discovery = await found([*CPU, *sockets])
        assert "differ in cluster ('lab', 'prod')" in discovery.incomplete["worker-1"]

    async def test_nor_is_the_larger_of_two_clusters_meters_taken(self) -> None:
        meters = [platform(w, cluster=c, bmc_id=c) for c, w in (("prod", 200.0), ("lab", 80.0))]
        discovery = await found([*CPU, *meters])
        assert "differ in bmc_id ('lab', 'prod') and cluster" in discovery.incomplete["worker-1"]


class TestReplicas:
    async def test_two_replicas_are_one_node(self) -> None:
        pair = [each for r in "ab" for each in waved(200.0, node="worker-1", prometheus_replica=r)]
        assert watts(await only(pair)) == pytest.approx(300.0, rel=0.02)

    async def test_a_query_of_ones_own_is_not_doubled_by_them(self) -> None:
        for label in ("prometheus_replica", "anything"):
            pair = [each for r in "ab" for each in waved(200.0, node="worker-1", **{label: r})]
            own = {over_time("pdu_watts"): [_meter(200.0, node="worker-1", **{label: r}) for r in "ab"]}
            api = PlayedPrometheus(pair, own)
            assert watts(await only([], api=api, power_query="pdu_watts")) == pytest.approx(300.0, rel=0.02)

    async def test_but_two_feeds_that_draw_the_same_are_two(self) -> None:
        own = {over_time("pdu_watts"): [gauge("", 115.0, node="worker-1", outlet=outlet) for outlet in "12"]}
        api = PlayedPrometheus(CPU, own)
        assert watts(await only([], api=api, power_query="pdu_watts")) == pytest.approx(230.0)

    async def test_a_query_whose_series_two_jobs_scrape_is_not_doubled(self) -> None:
        own = {over_time("pdu_watts"): [_meter(200.0, node="worker-1", job=job) for job in "ab"]}
        api = PlayedPrometheus(CPU, own)
        assert watts(await only([], api=api, power_query="pdu_watts")) == pytest.approx(300.0, rel=0.02)

    async def test_two_exporters_on_two_ports_of_a_machine_are_one_node(self) -> None:
        pair = [each for port in (9100, 9101) for each in waved(200.0, instance=f"10.0.0.7:{port}")]
        node = await only(pair)
        assert (node.node, watts(node)) == ("10.0.0.7", pytest.approx(300.0, rel=0.02))

    async def test_two_that_disagree_are_none(self) -> None:
        pair = [each for port in (9100, 9101) for each in waved(100.0 * (port - 9099), instance=f"10.0.0.7:{port}")]
        discovery = await found(pair)
        assert "differ in instance" in discovery.incomplete["10.0.0.7"]


def remote(watts: Mapping[str, float], **labels: str) -> list[Raw]:
    """One exporter that asks the controllers of several machines."""
    return [gauge(IPMI, w, instance=name, **labels) for name, w in watts.items()]


RACK_WATTS = {"rack-1": 200.0, "rack-2": 300.0, "rack-3": 90.0}


class TestExportersThatAskOthers:
    RACK = tuple(each for i in (1, 2, 3) for each in busy(0.25, instance=f"10.8.0.{i}:9100", node=f"rack-{i}"))

    async def test_the_node_of_the_exporters_pod_does_not_beat_the_instance(self) -> None:
        power = remote(RACK_WATTS, node="rack-3", pod="ipmi-exporter-0")
        discovery = await found([*self.RACK, *power])
        assert {node.node: watts(node) for node in discovery.nodes} == pytest.approx(RACK_WATTS)

    async def test_nor_where_all_nodes_are_asked_about_at_once(self) -> None:
        api = PlayedPrometheus([*self.RACK, *remote(RACK_WATTS, node="rack-3")])
        grid = Grid(START, END, STEP)
        plans = (await survey(api, grid)).plans  # type: ignore[arg-type]
        asker = AllAtOnce(api, grid)  # type: ignore[arg-type]
        totals = {plan.node: (await read_totals(asker, plan, Queries()))[1] for plan in plans}
        risen = {node: float(np.ptp(total.values)) / (END - START) for node, total in totals.items()}
        assert risen == pytest.approx(RACK_WATTS)

    async def test_one_machine_alone_that_is_asked_from_another_has_its_own_power(self) -> None:
        discovery = await found([*self.RACK, *remote({"rack-1": 200.0}, node="rack-3")])
        assert [node.node for node in discovery.nodes] == ["rack-1"]

    async def test_an_exporter_that_says_the_node_itself_is_believed_wherever_it_runs(self) -> None:
        """Its own address is a node's, because it runs in the host's network."""
        power = [gauge(IPMI, w, instance="10.8.0.3:9290", node=name) for name, w in RACK_WATTS.items()]
        uname = [gauge("node_uname_info", 1, instance=f"10.8.0.{i}:9100", nodename=f"rack-{i}") for i in (1, 2, 3)]
        discovery = await found([*self.RACK, *power, *uname])
        assert {node.node: watts(node) for node in discovery.nodes} == pytest.approx(RACK_WATTS)

    async def test_and_what_it_says_counts_before_what_prometheus_puts_on(self) -> None:
        power = [gauge(IPMI, w, instance="x:1", node="rack-3", exported_node=name) for name, w in RACK_WATTS.items()]
        discovery = await found([*self.RACK, *power])
        assert {node.node: watts(node) for node in discovery.nodes} == pytest.approx(RACK_WATTS)

    async def test_a_label_that_somebody_says_counts_before_all(self) -> None:
        power = [gauge(IPMI, w, instance="rack-1", node="rack-2", machine=name) for name, w in RACK_WATTS.items()]
        api = PlayedPrometheus([*self.RACK, *power], node_label="machine")
        discovery = await found([], api=api)
        assert {node.node: watts(node) for node in discovery.nodes} == pytest.approx(RACK_WATTS)


# --- trouble ----------------------------------------------------------------------------------------------------------


class TestTrouble:
    async def test_a_query_that_fails_is_said_and_drops_no_other(self) -> None:
        api = PlayedPrometheus([*CPU, *ZONES, platform(120)], failing="ipmi_dcmi")
        discovery = await found([], api=api)
        assert [watts(node) for node in discovery.nodes] == [pytest.approx(120.0)]
        assert any("ipmi_dcmi" in note and "not known, because a query failed" in note for note in discovery.notes)

    async def test_a_node_is_not_judged_by_a_lesser_series_while_the_better_one_cannot_be_read(self) -> None:
        api = PlayedPrometheus([*CPU, *ZONES, platform(120)], failing="avg_over_time(kepler_platform_watts")
        discovery = await found([], api=api)
        assert discovery.nodes == ()
        assert "expected 200; got 500" in discovery.incomplete["worker-1"]

    async def test_a_server_that_answers_nothing_is_an_error(self) -> None:
        with pytest.raises(LoadError, match="expected 200; got 500"):
            await found([], api=PlayedPrometheus(CPU, failing=""))

    async def test_partial_answers_are_told(self) -> None:
        node = await only(
            [], api=PlayedPrometheus([*CPU, platform(120)], warnings=("Prometheus says: a store is away",))
        )
        assert "Prometheus says: a store is away" in node.notes

    async def test_nodes_measured_by_different_parts_of_the_machine_are_said_to_be(self) -> None:
        other = [*busy(0.5, instance="worker-2"), zone("package", 70, node="worker-2")]
        discovery = await found([*CPU, platform(120), *other])
        assert any("not of the same parts" in note and "package: worker-2" in note for note in discovery.notes)

    async def test_progress_counts_nodes(self) -> None:
        told: list[tuple[int, int]] = []
        other = [*busy(0.5, instance="worker-2"), zone("package", 70, node="worker-2")]
        await found([*CPU, platform(120), *other], progress=lambda done, whole: told.append((done, whole)))
        assert told == [(1, 2), (2, 2)]


async def test_asked_for_together_every_query_is_sent_once() -> None:
    nodes = [f"worker-{i}" for i in range(5)]
    series = [each for name in nodes for each in (*busy(0.25, instance=name), zone("package", 70, node=name))]
    api = PlayedPrometheus(series)
    grid = Grid(START, END, STEP)
    there = await survey(api, grid)  # type: ignore[arg-type]
    api.asked.clear()
    asker = AllAtOnce(api, grid)  # type: ignore[arg-type]
    totals = [await read_totals(asker, plan, Queries()) for plan in there.plans]
    assert [float(np.ptp(power.values)) for _, power in totals] == [pytest.approx(70.0 * (END - START))] * 5
    assert len(api.asked) == len(set(api.asked)) == 4  # CPU, number of CPUs, package, dram


async def test_a_recorded_old_kepler_gives_the_watts_of_its_platform_and_else_of_its_parts(test_data: Path) -> None:
    """Expected: what the recorded counters of those zones rose by, all their series added, over the 84 s."""
    file = test_data / "exporters" / "kepler_old_prometheus_query_range_idle.json.gz"
    recorded = json.loads(gzip.decompress(file.read_bytes()))
    series = [
        Raw(metric, each["metric"], *np.array(each["values"], float).T)
        for metric, its in recorded.items()
        for each in its
        if metric.startswith("kepler_node_")
    ]
    begin, end = 1702462599.0, 1702462683.0
    node = "kind-fms-control-plane"
    cpu = list(busy(0.1, instance=f"{node}:9100", start=begin - 60, end=end, since=begin - 60))
    without = [each for each in series if "platform" not in each.name]
    for these, part, zones in ((series, "platform", ("platform",)), (without, "package + dram", ("package", "dram"))):
        rises = [np.ptp(each.values) for each in these if each.name.split("_")[2] in zones]
        discovery = await discover(PlayedPrometheus([*cpu, *these]), begin, end, 3.0)  # type: ignore[arg-type]
        (its,) = discovery.nodes
        assert (its.node, its.part) == (node, part)
        assert its.power.times[-1] - its.power.times[0] == end - begin
        assert np.ptp(its.power.values) == pytest.approx(sum(rises))
