"""Matchers in the grammar of Prometheus: parsing, writing into a query, errors."""

from __future__ import annotations

import pytest

from peaks_scheduler.settings.promql_matchers import EVERYTHING, parse_matchers

READ = {
    'cluster="a"': 'cluster="a"',
    "cluster='a'": 'cluster="a"',
    "cluster=`a`": 'cluster="a"',
    ' cluster = "a" , env != "test" , ': 'cluster="a",env!="test"',
    'env=~"prod|test",replica!~"b.*"': 'env=~"prod|test",replica!~"b.*"',
    'a="it\'s",b=\'say "x"\'': 'a="it\'s",b="say \\"x\\""',
    "a=`C:\\dir`": 'a="C:\\\\dir"',
    'a=~"10\\\\.0\\\\..*"': 'a=~"10\\\\.0\\\\..*"',
    'a="\\x41\\u00e9\\101\\t"': 'a="AéA\t"',
    'a="x,y}"': 'a="x,y}"',
    'cluster=""': 'cluster=""',
    '"my.label"="x"': '"my.label"="x"',
}


@pytest.mark.parametrize(("text", "written"), READ.items(), ids=list(READ))
def test_matchers_are_written_as_promql_reads_them(text: str, written: str) -> None:
    assert str(parse_matchers(text)) == written
    assert parse_matchers(written) == parse_matchers(text)


REFUSED = {
    '{cluster="a"}': "without the braces",
    'cluster="a"}': "without the braces",
    "": "such as cluster=",
    "cluster": "one of = != =~ !~ after the label cluster, where nothing came",
    'cluster=="a"': "a value in quotes after cluster=",
    "cluster=a": "a value in quotes after cluster=, where 'a' came",
    'cluster="a" env="b"': "is a comma missing?",
    'cluster="a",,env="b"': "the name of a label",
    'cluster="a': "a value in quotes",
    'my-label="a"': "one of = != =~ !~ after the label my",
    'a=~"("': "a regular expression for a; it is none",
    'a=~"(?=x)"': "no looks ahead or behind",
    'a=~"(x)\\\\1"': "no looks ahead or behind",
    'a="\\d"': "write a backslash twice",
    '__name__="up"': "every query of ours names its metric itself",
    'cluster="a" or up': "is a comma missing?",
}


@pytest.mark.parametrize(("text", "words"), REFUSED.items(), ids=list(REFUSED))
def test_what_is_no_list_of_matchers_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"matchers as PromQL|regular expression") as caught:
        parse_matchers(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("value", [None, 7, ["cluster"], {"cluster": "a"}])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="matchers as PromQL"):
        parse_matchers(value)


def test_they_go_into_a_selector_behind_its_own() -> None:
    match = parse_matchers('cluster="a",env!~"t.*"')
    assert match.selector("up") == 'up{cluster="a",env!~"t.*"}'
    assert match.selector("m", 'mode="idle"') == 'm{mode="idle",cluster="a",env!~"t.*"}'
    assert (EVERYTHING.selector("up"), EVERYTHING.selector("m", 'mode="idle"')) == ("up", 'm{mode="idle"}')


@pytest.mark.parametrize(
    ("text", "labels", "ours"),
    [
        ('cluster="a"', {"cluster": "a"}, True),
        ('cluster="a"', {"cluster": "b"}, False),
        ('cluster="a"', {"node": "x"}, True),  # no such label
        ('cluster!="a"', {"cluster": "a"}, False),
        ('cluster=~"a|b"', {"cluster": "ab"}, False),  # the whole value has to match
        ('cluster=~"a|b"', {"cluster": "b"}, True),
        ('cluster!~"a.*"', {"cluster": "ab"}, False),
        ('cluster="a",env="p"', {"cluster": "a", "env": "t"}, False),
    ],
)
def test_series_of_somebodys_own_query_are_ours_unless_a_label_says_otherwise(
    text: str, labels: dict[str, str], ours: bool
) -> None:
    assert parse_matchers(text).allow(labels) is ours
