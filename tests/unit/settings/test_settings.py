"""Settings from file, environment and options: which of them wins, and the errors for wrong values."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from peaks_scheduler.errors import ConfigurationError, PowerModelError
from peaks_scheduler.objects.annotations import AnnotationRules
from peaks_scheduler.objects.ceilings import Ceiling
from peaks_scheduler.settings.http_headers import Header
from peaks_scheduler.settings.loading import load_settings
from peaks_scheduler.settings.promql_matchers import Matcher, Matchers
from peaks_scheduler.settings.settings import LeaderElection, LoadSettings, PowerSettings, PrometheusSettings, Settings
from peaks_scheduler.settings.table import redacted
from peaks_scheduler.settings.values import Listen

FULL = """
schedulerName: Green
strategy: peaks
load:
  source: prometheus
  address: https://prometheus.example.org/prefix/
  interval: 30s
  timeout: 500ms
  expiry: 1m30s
  window: 2m
  cpuQuery: node:cpu:percent
  memoryQuery: node:memory:bytes
  cpuUnit: percent
  nodeLabel: host
prometheus:
  address: https://other.example.org/api/v1
  caFile: /etc/peaks/ca.pem
  username: peaks
  passwordFile: /etc/peaks/password
  insecureSkipVerify: false
  headers: {X-Scope-OrgID: {file: /etc/peaks/tenant}}
  match: cluster="a", env=~'prod|test'
  nodeLabel: machine
  timeout: 1m
powerModels: /etc/peaks/models.yaml
defaultPodCpu: 250m
toleranceWatts: 0.5
listen: "[::1]:0"
logFormat: text
leaderElection: {enabled: false, name: my-lease}
kubeconfig: /home/me/.kube/config
nodeMetrics: true
"""

PLUGIN = {"worker-1": {"k0": 471.7, "k1": -91.5, "k2": -0.07186}}


def settings(
    text: str | None = None, env: Mapping[str, str] | None = None, **flags: object
) -> tuple[Settings, tuple[str, ...]]:
    return load_settings(text, "config.yaml", env or {}, flags)


def scheduler_configuration(args: dict[str, Any], profile: dict[str, Any] | None = None, **fields: Any) -> str:
    whole = {"schedulerName": "Peaks", "pluginConfig": [{"name": "Peaks", "args": args}]} | (profile or {})
    kind = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
    return json.dumps(kind | {"profiles": [whole]} | fields)


@pytest.mark.parametrize(
    "text", [None, "", "# nothing", "load:\nlisten:\n"], ids=["no file", "empty", "comment", "nulls"]
)
def test_without_anything_given_the_defaults_hold(text: str | None) -> None:
    assert settings(text) == (Settings(leader_election=LeaderElection(name="peaks-scheduler-peaks")), ())


def test_every_key_of_the_file_is_read() -> None:
    assert settings(FULL)[0] == Settings(
        scheduler_name="Green",
        strategy="peaks",
        load=LoadSettings(
            source="prometheus",
            address="https://prometheus.example.org/prefix",
            interval=30.0,
            timeout=0.5,
            expiry=90.0,
            window=120.0,
            cpu_query="node:cpu:percent",
            memory_query="node:memory:bytes",
            cpu_unit="percent",
            node_label="host",
        ),
        prometheus=PrometheusSettings(
            address="https://other.example.org",
            ca_file="/etc/peaks/ca.pem",
            username="peaks",
            password_file="/etc/peaks/password",
            headers=(Header("X-Scope-OrgID", file="/etc/peaks/tenant"),),
            match=Matchers((Matcher("cluster", "=", "a"), Matcher("env", "=~", "prod|test"))),
            node_label="machine",
            timeout=60.0,
        ),
        power=PowerSettings("/etc/peaks/models.yaml"),
        default_pod_cpu=250,
        tolerance_watts=0.5,
        listen=Listen("::1", 0),
        log_format="text",
        leader_election=LeaderElection(False, "my-lease"),
        kubeconfig="/home/me/.kube/config",
        node_metrics=True,
    )


def test_what_pods_may_ask_for_and_are_told_is_read() -> None:
    text = "maxToleranceWatts: 5\nceiling: {cpu: 70%, maxCpu: 80%, maxMemory: 0.95}\ndecisionAnnotation: none"
    found, warnings = settings(text)
    assert warnings == ()
    assert (found.ceiling, found.max_ceiling) == (Ceiling(0.7, 0.9), Ceiling(0.8, 0.95))
    assert found.annotation_rules == AnnotationRules(5.0, Ceiling(0.8, 0.95), unrecorded="Peaks")


def test_the_environment_beats_the_file_and_an_option_beats_both() -> None:
    env = {"PEAKS_SCHEDULER_NAME": "of-env", "PEAKS_LOAD_ADDRESS": "http://env:1", "PEAKS_LISTEN": ""}
    read, _ = settings(FULL, env, load_address="http://flag:2", listen=None, leader_elect=True)
    assert (read.scheduler_name, read.load.address) == ("of-env", "http://flag:2")
    assert read.listen == Listen("::1", 0)
    assert read.leader_election.enabled


def test_every_option_has_its_variable() -> None:
    env = {
        "PEAKS_KUBECONFIG": "k",
        "PEAKS_POWER_MODELS": "m",
        "PEAKS_LISTEN": "0.0.0.0:80",
        "PEAKS_LOG_FORMAT": "text",
        "PEAKS_LEADER_ELECT": "false",
        "PEAKS_NODE_METRICS": "true",
    }
    read, warnings = settings(None, env)
    assert (read.kubeconfig, read.power.file, read.log_format) == ("k", "m", "text")
    assert (read.listen, read.leader_election.enabled, read.node_metrics) == (Listen("0.0.0.0", 80), False, True)
    assert warnings == ()


def test_the_original_plugins_variable_counts_below_power_models() -> None:
    env = {"NODE_POWER_MODEL": "/old.json"}
    assert settings(None, env)[0].power.file == "/old.json"
    assert settings("powerModels: /file.yaml", env)[0].power.file == "/file.yaml"
    assert settings(None, env, power_models="/flag.yaml")[0].power.file == "/flag.yaml"


def test_the_lease_is_named_after_the_scheduler() -> None:
    assert settings(None, {}, scheduler_name="Green")[0].leader_election.name == "peaks-scheduler-green"
    with pytest.raises(ConfigurationError, match=r"set leaderElection\.name"):
        settings(None, {}, scheduler_name="my scheduler")


@pytest.mark.parametrize(
    ("text", "host", "port", "again"),
    [
        (":10261", None, 10261, "[::]:10261"),
        ("[::]:10261", None, 10261, "[::]:10261"),
        ("0.0.0.0:10261", "0.0.0.0", 10261, "0.0.0.0:10261"),
        ("[::1]:0", "::1", 0, "[::1]:0"),
        ("localhost:65535", "localhost", 65535, "localhost:65535"),
    ],
)
def test_listen_takes_all_forms_of_an_address(text: str, host: str | None, port: int, again: str) -> None:
    read, _ = settings(None, {}, listen=text)
    assert read.listen == Listen(host, port)
    assert str(read.listen) == again


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("5m", 300),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("1h0m0s", 3600),
        (".5s", 0.5),
        ("20us", 2e-5),
    ],
)
def test_a_duration_is_read_as_in_go(text: str, seconds: float) -> None:
    assert settings(f"load: {{interval: {text}, expiry: 9h}}")[0].load.interval == pytest.approx(seconds)


WRONG = {
    "unknown key": ("schedulrName: x", "config.yaml: schedulrName: unknown key (did you mean 'schedulerName'?)"),
    "unknown key inside": ("load: {adress: x}", "config.yaml: load.adress: unknown key (did you mean 'address'?)"),
    "unlike any": ("zzz: 1", "config.yaml: zzz: unknown key; expected one of"),
    "key twice": ("strategy: a\nstrategy: b", "'strategy' is given twice"),
    "no mapping": ("[1]", "config.yaml: expected a mapping of settings; got [1]"),
    "group no mapping": ("load: http://lw", "config.yaml: load: expected a mapping; got 'http://lw'"),
    "broken YAML": ("load: [", "config.yaml: expected YAML or JSON"),
    "unknown source": (
        "load: {source: graphite}",
        "load.source: expected `load-watcher`, `metrics-server` or `prometheus`; got 'graphite'",
    ),
    "Prometheus nowhere": ("load: {source: prometheus}", "expected its URL as prometheus.address or load.address"),
    "Prometheus' address": ("prometheus: {address: 'p:9090'}", "expected a URL such as http://prometheus"),
    "unknown unit": ("load: {cpuUnit: millicores}", "load.cpuUnit: expected `ratio`, `percent` or `cores`"),
    "no label": ("load: {nodeLabel: a-b}", "load.nodeLabel: expected the name of a label of Prometheus"),
    "no matchers": ("prometheus: {match: cluster}", "prometheus.match: expected matchers as PromQL has them"),
    "matchers in braces": ("prometheus: {match: '{cluster=\"a\"}'}", "without the braces; got"),
    "no header": ("prometheus: {headers: {'X Key': a}}", "prometheus.headers: expected the name of a header"),
    "a token and an Authorization header": (
        "prometheus: {address: 'http://p', tokenFile: /t, headers: {authorization: ApiKey x}}",
        "got prometheus.tokenFile and Authorization among prometheus.headers",
    ),
    "a user in the address and an Authorization header": (
        "prometheus: {address: 'http://me:secret@p', headers: {Authorization: {file: /f}}}",
        "got Authorization among prometheus.headers and a user in the address",
    ),
    "user alone": ("prometheus: {username: me}", "prometheus: expected username and passwordFile together"),
    "password alone": ("prometheus: {passwordFile: /p}", "prometheus: expected username and passwordFile together"),
    "two ways to authenticate": (
        "prometheus: {username: me, passwordFile: /p, tokenFile: /t}",
        "prometheus: expected one way to authenticate; got prometheus.tokenFile and prometheus.username",
    ),
    "a token and a user in the address": (
        "prometheus: {address: 'http://me:secret@p:9090', tokenFile: /t}",
        "got prometheus.tokenFile and a user in the address",
    ),
    "address without scheme": ("load: {address: 'lw:2020'}", "load.address: expected a URL such as http://"),
    "duration without unit": ("load: {interval: 15}", "load.interval: expected a duration with its unit"),
    "duration of nothing": ("load: {expiry: 0s}", "load.expiry: expected a duration with its unit, more than 0"),
    "negative duration": ("load: {expiry: -5m}", "load.expiry: expected a duration"),
    "two points in a duration": ("load: {expiry: 1.2.3s}", "load.expiry: expected a duration"),
    "no quantity": ("defaultPodCpu: 100 m", "defaultPodCpu: expected a CPU quantity such as 100m"),
    "a list as quantity": ("defaultPodCpu: [1]", "defaultPodCpu: expected a CPU quantity such as 100m"),
    "free pods": ("defaultPodCpu: 0", "defaultPodCpu: expected a CPU quantity above 0"),
    "negative watts": ("toleranceWatts: -1", "toleranceWatts: expected watts, 0 or more"),
    "watts without end": ("toleranceWatts: .inf", "toleranceWatts: expected watts, 0 or more"),
    "a limit below what all get": (
        "toleranceWatts: 5\nmaxToleranceWatts: 2",
        "maxToleranceWatts: expected at least toleranceWatts, which is 5; got 2",
    ),
    "a ceiling's limit below it": ("ceiling: {maxCpu: 70%}", "ceiling.maxCpu: expected at least ceiling.cpu, which is"),
    "a limit that is no share": ("ceiling: {maxMemory: 120%}", "ceiling.maxMemory: expected a share of the node"),
    "unknown detail": (
        "decisionAnnotation: brief",
        "decisionAnnotation: expected `full`, `short` or `none`; got 'brief'",
    ),
    "port alone": ("listen: 10261", "listen: expected HOST:PORT"),
    "port too high": ("listen: ':65536'", "listen: expected HOST:PORT"),
    "bare IPv6": ("listen: '::1:80'", "listen: expected HOST:PORT"),
    "log format": ("logFormat: xml", "logFormat: expected `text` or `json`; got 'xml'"),
    "switch": ("leaderElection: {enabled: maybe}", "leaderElection.enabled: expected true or false; got 'maybe'"),
    "lease name": ("leaderElection: {name: My_Lease}", "leaderElection.name: expected a name of a Lease"),
    "carbon without a file": (
        "strategy: carbon",
        "strategy is carbon: expected the CSV file with the grid's intensity",
    ),
    "a long wait": ("batchWait: 1m", "batchWait: expected at most 10s: a pod that waits longer counts as undecided"),
    "no wait": ("batchWait: 0s", "batchWait: expected a duration with its unit, more than 0"),
    "a BMC's port too high": (
        "sensors: {redfish: {url: 'https://bmc-{hostname}:99999'}}",
        "sensors.redfish: expected a URL whose port is from 1 to 65535",
    ),
    "a password file without a user": (
        "sensors: {redfish: {url: 'https://bmc', passwordFile: /run/p}}",
        "sensors.redfish: expected username and passwordFile together",
    ),
    "a user without a password file": (
        "sensors: {differentialPressure: {url: 'https://dp', username: root}}",
        "sensors.differentialPressure: expected username and passwordFile together",
    ),
    "sensors that expire between two readings": (
        "sensors: {interval: 5m}",
        "sensors.expiry: expected at least twice sensors.interval, which is 300s,",
    ),
    "predictions that expire between two rounds": (
        "predictors: {refresh: 30s, expiry: 59s}",
        "predictors.expiry: expected at least twice predictors.refresh, which is 30s,",
    ),
    "a number as name": ("schedulerName: 7", "schedulerName: expected text"),
}


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_named_with_what_was_expected(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(text)
    assert words in str(caught.value)


def test_a_wrong_option_or_variable_is_named_as_it_was_given() -> None:
    with pytest.raises(ConfigurationError, match=r"^--listen: expected HOST:PORT"):
        settings(None, {}, listen="80")
    with pytest.raises(ConfigurationError, match=r"^PEAKS_LEADER_ELECT: expected true or false; got 'perhaps'"):
        settings(None, {"PEAKS_LEADER_ELECT": "perhaps"})


def test_a_misspelt_variable_is_a_warning_and_those_of_a_service_are_nothing() -> None:
    env = {
        "PEAKS_LOAD_ADRESS": "http://lw:1",
        "PEAKS_SCHEDULER_PORT": "tcp://10.0.0.1:10261",
        "PEAKS_SCHEDULER_SERVICE_HOST": "10.0.0.1",
    }
    assert settings(None, env) == (
        settings()[0],
        ("the environment variable PEAKS_LOAD_ADRESS is not read (did you mean 'PEAKS_LOAD_ADDRESS'?)",),
    )


PROMETHEUS = "http://prometheus:9090"


@pytest.mark.parametrize(
    ("text", "load_address", "address"),
    [
        (f"load: {{source: prometheus, address: '{PROMETHEUS}'}}", PROMETHEUS, PROMETHEUS),
        (f"load: {{source: prometheus}}\nprometheus: {{address: '{PROMETHEUS}/'}}", PROMETHEUS, PROMETHEUS),
        (
            "load: {source: prometheus, address: 'http://a'}\nprometheus: {address: 'http://b'}",
            "http://a",
            "http://b",
        ),
        (f"prometheus: {{address: '{PROMETHEUS}'}}", Settings().load.address, PROMETHEUS),
        ("load: {source: metrics-server}", None, None),
    ],
    ids=["of load", "of Prometheus", "both", "load from elsewhere", "metrics-server"],
)
def test_one_address_of_prometheus_does_for_both(text: str, load_address: str | None, address: str | None) -> None:
    read, warnings = settings(text)
    assert (read.load.address, read.prometheus.address) == (load_address, address)
    assert warnings == ()


def test_the_source_may_come_from_the_environment_or_an_option() -> None:
    env = {"PEAKS_LOAD_SOURCE": "prometheus", "PEAKS_LOAD_ADDRESS": PROMETHEUS}
    assert settings(None, env)[0].load.source == "prometheus"
    assert settings(None, env, load_source="metrics-server")[0].load.source == "metrics-server"


UNUSED = {
    "queries without Prometheus": ("load: {cpuQuery: up}", "load.cpuQuery is not used: load.source is load-watcher"),
    "a window without Prometheus": (
        "load: {source: metrics-server, window: 1m}",
        "load.window is not used: load.source is metrics-server, not prometheus",
    ),
    "a unit without a query": (
        f"load: {{source: prometheus, address: '{PROMETHEUS}', cpuUnit: percent}}",
        "load.cpuUnit is not used: there is no load.cpuQuery",
    ),
    "an address of metrics-server": (
        "load: {source: metrics-server, address: 'http://lw:2020'}",
        "load.address is not used: metrics-server is asked through the API server",
    ),
    "a token for nobody": (
        "prometheus: {tokenFile: /t}",
        "prometheus.tokenFile is not used: there is no prometheus.ad",
    ),
    "certificates that play no part": (
        "prometheus: {address: 'https://p', caFile: /ca.pem, insecureSkipVerify: true}",
        "prometheus.caFile is not used: prometheus.insecureSkipVerify trusts any certificate",
    ),
}


@pytest.mark.parametrize(("text", "words"), UNUSED.values(), ids=UNUSED)
def test_what_plays_no_part_is_a_warning(text: str, words: str) -> None:
    (warning,) = settings(text)[1]
    assert warning.startswith(f"config.yaml: {words}")


def test_load_that_is_stale_before_the_next_is_a_warning() -> None:
    assert settings("load: {interval: 10m}")[1] == (
        "load.expiry 300s is shorter than load.interval 600s: every node is estimated some of the time",
    )


@pytest.mark.parametrize("first", [str.lower, str.upper], ids=["lower camel", "as the plugin's own files have it"])
def test_a_kube_scheduler_configuration_of_the_original_plugin_is_accepted(first: Any) -> None:
    args = {first("w") + "atcherAddress": "http://lw:2020", first("n") + "odePowerModel": PLUGIN}
    read, warnings = settings(scheduler_configuration(args, leaderElection={"leaderElect": False}))
    assert (read.scheduler_name, read.load.address) == ("Peaks", "http://lw:2020")
    assert not read.leader_election.enabled
    assert read.power.inline.by_name["worker-1"].curve.k2 == pytest.approx(-7.186)
    assert warnings == ()


def test_what_a_kube_scheduler_configuration_says_to_others_is_a_warning_each() -> None:
    text = scheduler_configuration(
        {"metricProvider": {}, "apiVersion": "v1"},
        {"plugins": {"score": {}}, "pluginConfig": [{"name": "Peaks", "args": {"x": 1}}, {"name": "NodeResourcesFit"}]},
        parallelism=16,
        leaderElection={"leaderElect": True, "resourceName": "peaks"},
    )
    _, warnings = settings(text)
    assert [warning.removesuffix(" is not read by this scheduler") for warning in warnings] == [
        "config.yaml: parallelism",
        "config.yaml: profiles[0].plugins",
        "config.yaml: profiles[0].pluginConfig of NodeResourcesFit",
        "config.yaml: profiles[0].pluginConfig of Peaks: x",
        "config.yaml: leaderElection.resourceName",
    ]


def test_the_profile_with_peaks_counts_and_the_others_are_named() -> None:
    text = json.dumps(
        {
            "kind": "KubeSchedulerConfiguration",
            "profiles": [
                {"schedulerName": "default-scheduler"},
                {"schedulerName": "green", "pluginConfig": [{"name": "Peaks"}]},
            ],
        }
    )
    read, warnings = settings(text)
    assert read.scheduler_name == "green"
    assert warnings == ("config.yaml: profiles[0] is not read by this scheduler",)


@pytest.mark.parametrize(
    "profiles", [[], None, "x", [7], [{"pluginConfig": [7]}], [{"pluginConfig": [{"name": "TLP"}]}]]
)
def test_a_kube_scheduler_configuration_without_peaks_says_so(profiles: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a profile with pluginConfig for `Peaks`"):
        settings(json.dumps({"kind": "KubeSchedulerConfiguration", "profiles": profiles}))


def test_wrong_inline_models_are_refused_where_they_stand() -> None:
    with pytest.raises(
        PowerModelError, match=r"config.yaml: profiles\[0\].nodePowerModel: w.k0: expected a number without"
    ):
        settings(scheduler_configuration({"nodePowerModel": {"w": {"k0": "471", "k1": 1, "k2": 1}}}))


@pytest.mark.parametrize(
    "arguments",
    [
        {"nodePowerModel": json.dumps(PLUGIN)},
        {"NodePowerModel": yaml.safe_dump(PLUGIN)},
        {"nodepowermodel": PLUGIN},
        json.dumps({"nodePowerModel": PLUGIN}),
    ],
    ids=["JSON text", "YAML text", "in small letters", "all arguments as text"],
)
def test_inline_models_that_are_given_as_text_are_read(arguments: Any) -> None:
    """A template that quotes its values makes text of the models."""
    read, warnings = settings(scheduler_configuration(arguments))
    assert read.power.inline == settings(scheduler_configuration({"nodePowerModel": PLUGIN}))[0].power.inline
    assert list(read.power.inline.by_name) == list(PLUGIN)
    assert not warnings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([PLUGIN], r"nodePowerModel: expected \{node: \{k0, k1, k2\}\} as a mapping, or as JSON text; got \[\{"),
        ("/etc/peaks/model.json", "got '/etc/peaks/model.json' .models in a file of their own: powerModels"),
        ('{"w": {"k0": 1,', "nodePowerModel: expected YAML or JSON; it cannot be read"),
        (7, "as JSON text; got 7"),
        (False, "as JSON text; got False"),
        ({"w": {"k0": 100, "k1": 50, "k2": -0.1}}, "w: expected a curve that never falls"),
        ('{"w": {"k0": "300", "k1": "10", "k2": "0.02"}}', "w.k0: expected a number without quotes; got '300'"),
        ({"w": None}, "w: expected an object with k0, k1 and k2; got nothing"),
    ],
)
def test_inline_models_of_another_form_are_never_lost(given: Any, words: str) -> None:
    with pytest.raises(PowerModelError, match=words):
        settings(scheduler_configuration({"nodePowerModel": given}))


@pytest.mark.parametrize("given", [None, {}, "", "{}"])
def test_inline_models_that_are_empty_are_a_warning(given: Any) -> None:
    read, warnings = settings(scheduler_configuration({"nodePowerModel": given}))
    assert not read.power.inline.by_name
    assert warnings == ("config.yaml: profiles[0].nodePowerModel has no models",)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["watcherAddress"], r"profiles\[0\].args: expected the plugin's arguments as a mapping, or as JSON text"),
        ({"nodePowerModel": PLUGIN, "NodePowerModel": {}}, "each argument once; 'NodePowerModel' is there twice"),
    ],
)
def test_arguments_of_another_form_are_never_lost(arguments: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        settings(scheduler_configuration(arguments))


def test_the_profile_of_several_that_has_arguments_counts() -> None:
    profiles = [
        {"schedulerName": "a", "pluginConfig": [{"name": "TargetLoadPacking", "args": {"nodePowerModel": {"x": 1}}}]},
        {"schedulerName": "b", "pluginConfig": [{"name": "Peaks", "args": {"nodePowerModel": json.dumps(PLUGIN)}}]},
    ]
    read, _ = settings(json.dumps({"kind": "KubeSchedulerConfiguration", "profiles": profiles}))
    assert read.scheduler_name == "b"
    assert list(read.power.inline.by_name) == list(PLUGIN)
    profiles[1]["pluginConfig"] *= 2  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match=r"profiles\[1\]: expected pluginConfig for `Peaks` once"):
        settings(json.dumps({"kind": "KubeSchedulerConfiguration", "profiles": profiles}))


def test_arguments_under_another_spelling_of_the_plugins_name_are_pointed_at() -> None:
    profiles = [{"pluginConfig": [{"name": "peaks", "args": {}}]}]
    with pytest.raises(ConfigurationError, match=r"got that of peaks \(did you mean 'peaks'\?\)"):
        settings(json.dumps({"kind": "KubeSchedulerConfiguration", "profiles": profiles}))


def test_inline_models_beside_a_file_are_a_warning() -> None:
    read, warnings = settings(scheduler_configuration({"nodePowerModel": PLUGIN}), {}, power_models="/m.yaml")
    assert read.power.file == "/m.yaml"
    assert warnings == ("config.yaml: nodePowerModel is not used: the power model file /m.yaml counts instead",)


def test_what_is_shown_reads_back_as_the_same_settings() -> None:
    read, _ = settings(FULL)
    shown = redacted(read)
    assert shown.pop("nodePowerModel") == []
    assert settings(json.dumps(shown))[0] == read


def test_a_headers_value_is_shown_nowhere() -> None:
    read, _ = settings("prometheus: {address: 'http://p', headers: {X-Key: open-sesame, X-Other: {file: /f}}}")
    assert redacted(read)["prometheus"]["headers"] == {"X-Key": "***", "X-Other": {"file": "/f"}}
    assert "open-sesame" not in repr(read)
    for wrong in ("{X-Key: [open-sesame]}", '{X-Key: "open-sesame\\nX: y"}', "open-sesame", "{X Key: open-sesame}"):
        with pytest.raises(ConfigurationError) as caught:
            settings(f"prometheus: {{address: 'http://p', headers: {wrong}}}")
        assert "open-sesame" not in str(caught.value)


def test_which_series_are_ours_is_said_by_option_variable_or_file() -> None:
    file = "prometheus: {address: 'http://p', match: 'cluster=\"file\"'}"
    env = {"PEAKS_PROMETHEUS_MATCH": "cluster='env'"}
    assert str(settings(file)[0].prometheus.match) == 'cluster="file"'
    assert str(settings(file, env)[0].prometheus.match) == 'cluster="env"'
    assert str(settings(file, env, prometheus_match="cluster=`flag`")[0].prometheus.match) == 'cluster="flag"'
    with pytest.raises(ConfigurationError, match=r"^--prometheus-match: expected matchers"):
        settings(file, prometheus_match="cluster")


def test_no_password_is_shown_anywhere() -> None:
    read, _ = settings("load: {address: 'http://me:secret@lw:2020'}")
    assert read.load.address == "http://me:secret@lw:2020"
    assert redacted(read)["load"]["address"] == "http://***@lw:2020"
    with pytest.raises(ConfigurationError) as caught:
        settings("load: {address: 'ftp://me:se@cr/et@lw:2020'}")
    assert "***@lw:2020" in str(caught.value)
    prometheus = redacted(settings("prometheus: {address: 'http://me:secret@p:9090'}")[0])["prometheus"]
    assert prometheus["address"] == "http://***@p:9090"
    assert "cr/et" not in str(caught.value)
