"""The types of values that settings have: how each is parsed, shown and described. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

from peaks_scheduler.objects.ceilings import parse_share as parse_ceiling
from peaks_scheduler.scheduling.decision import Detail
from peaks_scheduler.text.masking import mask_url

from .http_headers import Header, parse_headers, shown_headers
from .overhead import parse_overhead, shown_overhead
from .predictors import CPU_TEMPERATURES, parse_servers, shown_servers
from .promql_matchers import Matchers, parse_matchers
from .sensors import (
    parse_endpoint,
    parse_ipmi_exporter,
    parse_values,
    parse_words,
    shown_endpoint,
    shown_ipmi_exporter,
)
from .values import (
    LOAD_SOURCES,
    MOST_SAMPLES,
    USAGE_SOURCES,
    duration_text,
    parse_address,
    parse_cpu,
    parse_duration,
    parse_field_paths,
    parse_label,
    parse_lease_name,
    parse_listen,
    parse_percentile,
    parse_prometheus_address,
    parse_samples,
    parse_share,
    parse_switch,
    parse_text,
    parse_watts,
    parse_word,
    share_text,
)


@dataclass(frozen=True, slots=True)
class ValueType:
    """One type of value."""

    words: str
    """What a value is, for the reference in the documentation."""
    parse: Callable[[Any], Any]
    """The value of what a file, a variable or an option holds. Raises ValueError whose text completes "expected
    ..."."""
    show: Callable[[Any], Any] = lambda value: value
    """The value as the file would have it, for ``/configz``: passwords are masked. Never gets None."""
    metavar: str = ""
    """Placeholder for the value in the help of the command line; empty for choices and switches."""
    choices: tuple[str, ...] = ()
    """All values, where there are only a few words."""
    secret: bool = False
    """Is the value left out of error messages?"""


def choice(*words: str) -> ValueType:
    """The type whose values are these words."""
    listed = [f"`{word}`" for word in words]
    return ValueType(f"{', '.join(listed[:-1])} or {listed[-1]}", partial(parse_word, words), choices=words)


def _shown_matchers(matchers: Matchers) -> str | None:
    return str(matchers) or None


def _shown_headers(headers: tuple[Header, ...]) -> dict[str, Any] | None:
    return shown_headers(headers) or None


def _shown_mapping(mapping: Mapping[str, Any]) -> dict[str, Any] | None:
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in mapping.items()} or None


def _shown_watts(watts: float) -> float | None:
    return watts if math.isfinite(watts) else None


# fmt: off
#                     in words                      parsed by                  shown by
NAME           = ValueType("text",                       parse_text,                metavar="NAME")
FILE           = ValueType("file",                       parse_text,                metavar="FILE")
PROMQL         = ValueType("PromQL",                     parse_text)
LABEL          = ValueType("label's name",               parse_label)
SWITCH         = ValueType("`true` or `false`",          parse_switch)
DURATION       = ValueType("duration",                   parse_duration,            duration_text)
LOAD_URL       = ValueType("URL",                        parse_address,             mask_url, "URL")
PROMETHEUS_URL = ValueType("URL",                        parse_prometheus_address,  mask_url)
HEADERS        = ValueType("mapping",                    parse_headers,             _shown_headers, secret=True)
MATCHERS       = ValueType("matchers",                   parse_matchers,            _shown_matchers, "MATCHERS")
PERCENTILE     = ValueType("number above 0, up to 100",  parse_percentile)
SAMPLES        = ValueType(f"number, 1 to {MOST_SAMPLES}", parse_samples)
SHARE          = ValueType("share, `20%` or `0.2`",      parse_share,               share_text)
CEILING        = ValueType("share, `80%` or `0.8`",      parse_ceiling,             share_text)
CPU            = ValueType("CPU quantity",               parse_cpu,                 "{}m".format)
WATTS          = ValueType("watts",                      parse_watts,               _shown_watts)
FIELD_PATHS    = ValueType("list of paths",              parse_field_paths,         sorted)
LISTEN         = ValueType("`HOST:PORT`",                parse_listen,              str, "HOST:PORT")
LEASE_NAME     = ValueType("text",                       parse_lease_name)
SIGNAL_VALUES  = ValueType("numbers by node and signal", parse_values,              _shown_mapping)
SIGNAL_QUERIES = ValueType("PromQL by signal",           parse_words,               _shown_mapping)
SIGNAL_METRICS = ValueType("metrics by signal",          parse_words,               _shown_mapping)
IPMI_EXPORTER  = ValueType("mapping",                    parse_ipmi_exporter,       shown_ipmi_exporter)
ENDPOINT       = ValueType("mapping",                    parse_endpoint,            shown_endpoint)
SERVERS        = ValueType("list of servers",            parse_servers,             shown_servers, secret=True)
OVERHEAD       = ValueType("factor or table",            parse_overhead,            shown_overhead)
STEP           = ValueType("number, 0 or more",          parse_watts)
LABEL_KEY      = ValueType("label of nodes",             parse_text)
CPU_TEMPERATURE = choice(*CPU_TEMPERATURES)
LOAD_SOURCE    = choice(*LOAD_SOURCES)
USAGE_SOURCE   = choice("auto", "none", *USAGE_SOURCES)
CPU_UNIT       = choice("ratio", "percent", "cores")
DETAIL         = choice(*get_args(Detail))
LOG_FORMAT     = choice("text", "json")
# fmt: on
