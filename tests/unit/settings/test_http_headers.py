"""HTTP headers for a Prometheus: which can be sent; values are never shown."""

from __future__ import annotations

import pytest

from peaks_scheduler.settings.http_headers import Header, parse_headers, shown_headers

SECRET = "open-sesame"


def test_values_and_files_are_read() -> None:
    given = {"X-Scope-OrgID": " team-a ", "X-Tenant": 1234, "Authorization": {"file": "/run/secret"}}
    assert parse_headers(given) == (
        Header("X-Scope-OrgID", "team-a"),
        Header("X-Tenant", "1234"),
        Header("Authorization", file="/run/secret"),
    )


def test_a_value_is_never_shown() -> None:
    headers = parse_headers({"X-Key": SECRET, "X-Other": {"file": "/run/other"}})
    assert shown_headers(headers) == {"X-Key": "***", "X-Other": {"file": "/run/other"}}
    assert SECRET not in repr(headers) + str(headers)


REFUSED = {
    "a list": (["X-Key"], "headers by name"),
    "a name with a blank": ({"X Key": SECRET}, "the name of a header"),
    "a name with a colon": ({"X-Key:": SECRET}, "the name of a header"),
    "no name": ({"": SECRET}, "the name of a header"),
    "two lines": ({"X-Key": f"{SECRET}\nHost: evil"}, "one line of text"),
    "a carriage return": ({"X-Key": f"{SECRET}\rX: y"}, "one line of text"),
    "beyond Latin-1": ({"X-Key": f"{SECRET}€"}, "one line of text"),
    "empty": ({"X-Key": "  "}, "one line of text"),
    "a number with a point": ({"X-Key": 1.5}, "is no text"),
    "a switch": ({"X-Key": True}, "is no text"),
    "a list as value": ({"X-Key": [SECRET]}, "is no text"),
    "another mapping": ({"X-Key": {"path": "/x"}}, "neither a value nor {file: PATH}"),
    "an empty file": ({"X-Key": {"file": " "}}, "neither a value nor {file: PATH}"),
    "what the connection says": ({"content-LENGTH": "5"}, "the connection itself sends"),
    "a name twice": ({"X-Key": SECRET, "x-key": SECRET}, "each header once"),
}


@pytest.mark.parametrize(("given", "words"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_sent_is_refused_without_its_value(given: object, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_headers(given)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)
