"""Templates of NodeConfigTemplate: what Go's text/template with sprig would write, worked out by hand from their rules.

The first cases are those of WAO's own tests and documentation.
"""

from __future__ import annotations

import pytest

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.sources.predictors.template_functions import FUNCTIONS
from peaks_scheduler.sources.predictors.templates import render

NODE = {
    "hostname": "worker-7",
    "address": "10.0.3.42",
    "octet1": "10",
    "octet2": "0",
    "octet3": "3",
    "octet4": "42",
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        # WAO
        ("https://10.0.100.{{.IPv4.Octet4}}", "https://10.0.100.42"),
        ("redfish-basicauth-{{.Hostname}}", "redfish-basicauth-worker-7"),
        ("https://10.0.{{ add .IPv4.Octet3 10 }}.{{.IPv4.Octet4}}", "https://10.0.13.42"),
        # sprig takes the prefix first: the order of WAO's documentation leaves "worker-" as it is
        ('{{ trimPrefix .Hostname "worker-" }}', "worker-"),
        ('{{ trimPrefix "worker-" .Hostname }}', "7"),
        ("Redfish", "Redfish"),
        ("", ""),
        # values
        ("{{.IPv4.Address}}:8080", "10.0.3.42:8080"),
        ("{{ .IPv4.Octet1 }}-{{ .IPv4.Octet2 }}", "10-0"),
        ('{{ "a\\tb\\"c\\\\" }}', 'a\tb"c\\'),
        ('{{ "\\x41\\u00e9\\101" }}', "AéA"),
        ("{{ `a\\n` }}", "a\\n"),
        ("{{ 42 }}{{-3}}{{ +5 }}", "42-35"),
        ("{{ 0x1F }} {{ 0o17 }} {{ 017 }} {{ 0b101 }}", "31 15 15 5"),
        # blanks
        ("a {{- .IPv4.Octet4 -}} b", "a42b"),
        ("a\n{{- \n.IPv4.Octet4 }} b", "a42 b"),
        ("{{ 1 -}}  {{- 2 }}", "12"),
        ("a{{/* nothing }} */}}b", "ab"),
        ("a {{- /* nothing */ -}} b", "ab"),
        ("}} alone", "}} alone"),
        # pipelines
        ('{{ .Hostname | trimPrefix "worker-" }}', "7"),
        ('{{ .Hostname | trimPrefix "worker-" | add 100 }}', "107"),
        ("{{ add (mul .IPv4.Octet3 100) .IPv4.Octet4 }}", "342"),
        ("{{ (.Hostname) | upper }}", "WORKER-7"),
        ("{{ ((add 1 (sub 5 2))) }}", "4"),
        # functions
        ("{{ upper .Hostname }} {{ lower `BMC` }}", "WORKER-7 bmc"),
        ('{{ replace "-" "." .Hostname }}', "worker.7"),
        ('{{ replace "" "-" "ab" }}', "-a-b-"),
        ('{{ trimSuffix "-7" .Hostname }}', "worker"),
        ('{{ trim "  x " }}|{{ trimAll "-" "--x-" }}', "x|x"),
        ('{{ substr 0 6 .Hostname }}|{{ substr 7 -1 .Hostname }}|{{ substr -1 2 "abc" }}', "worker|7|ab"),
        ('{{ trunc 3 "abcdef" }}|{{ trunc -2 "abcdef" }}|{{ trunc 9 "ab" }}', "abc|ef|ab"),
        ('{{ default "bmc" "" }}{{ default "bmc" .Hostname }}{{ 0 | default 5 }}', "bmcworker-75"),
        ("{{ add 1 2 3 }} {{ add1 9 }} {{ sub 3 5 }} {{ mul 2 3 4 }}", "6 10 -2 24"),
        # towards zero, as in Go
        ("{{ div 7 2 }} {{ div -7 2 }} {{ mod 7 3 }} {{ mod -7 3 }}", "3 -3 1 -1"),
        ("{{ atoi `12` }} {{ int .IPv4.Octet4 }} {{ int64 `-5` }}", "12 42 -5"),
        ('{{ printf "bmc-%03d.%s" (atoi .IPv4.Octet4) .Hostname }}', "bmc-042.worker-7"),
        ('{{ printf "%5d|%-5d|%5s|%-5s|%v%v|100%%" 42 42 "a" "b" 1 "c" }}', "   42|42   |    a|b    |1c|100%"),
        ('{{ printf "%05d" -42 }}', "-0042"),
        # fmt.Sprint: a blank between two operands of which neither is text
        ('{{ print "a" 1 2 "b" "c" 3 }}', "a1 2bc3"),
    ],
)
def test_a_template_is_rendered_as_go_renders_it(template: str, text: str) -> None:
    assert render(template, NODE) == text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{.Unknown}}", r"field `.Unknown` is not known; known are .Hostname, .IPv4.Address"),
        ("{{.IPv4.Octet5}}", r"field `.IPv4.Octet5` is not known \(did you mean '.IPv4.Octet"),
        ("{{.IPv4}}", r"field `.IPv4` is not known"),
        ("{{.}}", "is not known here"),
        ("{{ $x := .Hostname }}", "is not known here"),
        ("{{ if .Hostname }}a{{ end }}", "`if` is not done here"),
        ("{{ range .Hostname }}{{ end }}", "`range` is not done here"),
        ('{{ template "x" }}', "`template` is not done here"),
        ("{{ env `PATH` }}", "function `env` is not known here; known are add, add1, atoi"),
        ("{{ getHostByName `x` }}", "function `getHostByName` is not known"),
        ("{{ triPrefix `a` `b` }}", "did you mean 'trimPrefix'"),
        ("{{ add true 1 }}", "`true` stands where a value is expected"),
        ("{{ 1.5 }}", "is not known here"),
        ("{{ 'a' }}", "is not known here"),
        ("{{ .Hostname", "{{ without }}"),
        ("{{ /* x", "is not known here"),
        ("{{}}", "a value is missing"),
        ("{{ .Hostname | }}", "a value is missing"),
        ("{{ (add 1 2 }}", r"\( without \)"),
        ("{{ add 1 2) }}", r"\) without \("),
        ("{{ (add 1 2).X }}", "a blank is missing"),
        ('{{ upper"a" }}', "a blank is missing"),
        ("{{ .Hostname .Hostname }}", "`.Hostname` is no function and takes no argument"),
        ("{{ 1 | .Hostname }}", "`.Hostname` is no function"),
        ("{{ upper upper }}", "a function needs parentheses there"),
        ('{{ "\\q" }}', r"\\q is no escape"),
        ('{{ "\\ud800" }}', "is no character"),
        ("{{ upper 5 }}", "upper takes text; got the number 5"),
        ("{{ atoi 5 }}", "atoi takes text; got the number 5"),
        ("{{ upper `a` `b` }}", "upper takes 1 argument; got 2"),
        ("{{ trimPrefix `a` }}", "trimPrefix takes 2 arguments; got 1"),
        # sprig would make 0 of these, or read them in base 8
        ("{{ add .Hostname 1 }}", "add of 'worker-7', which is no whole number"),
        ("{{ add `010` 1 }}", "add of '010', which is no whole number without zeros before it"),
        ("{{ atoi `` }}", "atoi of '', which is no whole number"),
        ("{{ div 1 0 }}", "division by zero"),
        ("{{ mul 9223372036854775807 2 }}", "whole numbers of 64 bits"),
        ("{{ 99999999999999999999 }}", "whole numbers of 64 bits"),
        # Go would write %!d(string=a) and the like
        ('{{ printf "%d" "a" }}', "printf: %d does not go with 'a'"),
        ('{{ printf "%s" 1 }}', "printf: %s does not go with 1"),
        ('{{ printf "%s" }}', "printf lacks a value for %s"),
        ('{{ printf "x" 1 }}', "printf got more values"),
        ('{{ printf "%q" "a" }}', "%q is not known here to printf"),
        ('{{ printf "%999999999d" 1 }}', "not known here to printf"),
        ('{{ substr 5 2 "abc" }}', "substr: the text has no characters 5 to 2"),
        ("x" * 2_001, "at most 2000 characters"),
        ("{{ " + "(" * 30 + "1" + ")" * 30 + " }}", "at most 20 parentheses"),
        ('{{ printf "%100d" 1 | replace " " "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" }}', "text of at most 2000 characters"),
    ],
)
def test_what_is_not_done_here_is_refused_by_name(template: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        render(template, NODE)


def test_a_fact_that_the_node_lacks_is_refused_and_not_written_as_x() -> None:
    with pytest.raises(ConfigurationError, match="no InternalIP of it is an IPv4 address"):
        render("https://10.0.100.{{.IPv4.Octet4}}", {"hostname": "worker-7"})
    assert render("https://{{.Hostname}}", {"hostname": "worker-7"}) == "https://worker-7"


def test_text_from_a_node_is_never_read_as_a_template() -> None:
    assert render("{{ .Hostname }}", {"hostname": "{{ .IPv4.Address }}"}) == "{{ .IPv4.Address }}"


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_every_function_refuses_a_call_without_arguments_in_words(function: str) -> None:
    if function == "print":
        assert render("{{ print }}", NODE) == ""
        return
    with pytest.raises(ConfigurationError, match=function):
        render(f"{{{{ {function} }}}}", NODE)
