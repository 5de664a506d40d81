"""What is secret in a text is masked, and nothing else."""

from __future__ import annotations

import signal

import pytest

from peaks_scheduler.text.masking import mask, mask_url

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl-_x"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        pytest.param("Authorization: Bearer s3cret.x", "Authorization: Bearer ***", id="a bearer token"),
        pytest.param('{"h": "bearer s3cret"}', '{"h": "bearer ***"}', id="in JSON"),
        pytest.param("http://me:pa55@host:1/x", "http://***@host:1/x", id="user and password"),
        pytest.param("http://me:p@55@host/", "http://***@host/", id="a password with an @"),
        pytest.param("http://me@host/", "http://***@host/", id="a user alone"),
        pytest.param(f"token={JWT} ok", "token=*** ok", id="a JSON web token"),
        pytest.param(f"xx-{JWT}", "xx-***", id="a JSON web token behind a dash"),
        pytest.param("keyJob.spec.eyJ", "keyJob.spec.eyJ", id="words like a token"),
        pytest.param("the bearer token was renewed", "the bearer token was renewed", id="prose"),
        pytest.param("mail a@b, see http://host/p", "mail a@b, see http://host/p", id="nothing secret"),
    ],
)
def test_what_is_secret_is_masked_and_nothing_else(text: str, masked: str) -> None:
    assert mask(text) == masked


HOSTILE = ["eyJ-" * 250_000, "eyJ." * 250_000, "bearer " * 150_000, "://" * 300_000 + "@", "bearer" + " " * 10**6]


def test_masking_takes_no_more_than_a_look_at_each_character() -> None:
    """The square of these lengths would take minutes: an alarm ends them."""

    def late(*_: object) -> None:
        raise TimeoutError("masking does not come to an end")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 30.0)
    try:
        for text in HOSTILE:
            mask(text)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        pytest.param("http://me:pa55@host:1/x", "http://***@host:1/x", id="user and password"),
        pytest.param("http://me:p/@55@host/", "http://***@host/", id="a password with a slash and an @"),
        pytest.param("me:pa55@host", "***@host", id="no scheme"),
        pytest.param("me:p\na55@host", "***@host", id="a line feed in the password"),
        pytest.param("http://host:1/x", "http://host:1/x", id="nothing secret"),
    ],
)
def test_a_malformed_url_shows_no_password_either(url: str, masked: str) -> None:
    assert mask_url(url) == masked
