from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.delivery.channels.web_push import check_keys, classify, origin_of
from services.delivery.closing import Closing, left_after, targets_to_close
from services.delivery.model import Answer, ProviderCheckError, target_key
from services.delivery.payload_web_push import MAX_PAYLOAD_BYTES, closing_payload, too_large, web_push_payload
from services.delivery.rounds import Tried
from services.environments.model import Environment
from services.environments.vapid import is_subject, new_vapid_keys
from services.kernel.vocabulary import Channel
from services.messages.model import AttemptOutcome, Delivery, DeliveryState, TargetDelivery
from services.messages.options import NO_OPTIONS
from services.users.model import WebPushSubscription
from tests.unit.services.builders import NOW, content

ENDPOINT = "https://push.example.com/send/some-token"
HOUR = timedelta(hours=1)
BROWSERS = tuple(WebPushSubscription(f"https://push.example.com/{name}", "p", "a") for name in "abc")
KEYS = [target_key(browser) for browser in BROWSERS]


def payload(logo_url: str = "", **texts: str) -> dict[str, Any]:
    """Gives what is pushed of a content."""
    made = web_push_payload(content(Channel.WEB_PUSH, **texts), tracking_id="m", item_id="i", logo_url=logo_url)
    decoded: dict[str, Any] = json.loads(made)
    return decoded


def call(browser: WebPushSubscription, outcome: AttemptOutcome, retry_after: timedelta | None = None) -> Tried:
    """Makes a call that ended so."""
    return Tried(browser, NOW, "web_push", Answer(outcome, retry_after=retry_after))


def test_the_logo_stands_in_for_an_icon() -> None:
    """The environment's picture is used where the content has none and it fits; it never costs the push itself."""
    assert payload("https://example.com/logo.png", title="t")["icon_url"] == "https://example.com/logo.png"
    assert payload("https://example.com/logo.png", title="t", icon_url="/own.png")["icon_url"] == "/own.png"
    large = {"title": "t", "body": "x" * (MAX_PAYLOAD_BYTES - 100)}
    assert "icon_url" not in payload("https://example.com/" + "x" * 100, **large)


@pytest.mark.parametrize("excess", [0, 1])
def test_a_payload_is_measured_in_bytes(excess: int) -> None:
    """3,993 bytes of UTF-8 fit, with ids as long as they are; one more does not."""
    some_id = "0" * 36
    empty = web_push_payload(content(Channel.WEB_PUSH, title="t", body=""), tracking_id=some_id, item_id=some_id)
    left = MAX_PAYLOAD_BYTES - len(empty)
    body = "é" * (left // 2) + "b" * (left % 2 + excess)

    problem = too_large(content(Channel.WEB_PUSH, title="t", body=body), NO_OPTIONS, "n")

    assert problem == (
        f"has {MAX_PAYLOAD_BYTES + 1} bytes as the JSON that is pushed; a browser is pushed at most {MAX_PAYLOAD_BYTES}"
        if excess
        else None
    )


def test_closing_names_the_tag_alone() -> None:
    """What closes an item says that, and whose."""
    assert json.loads(closing_payload("i")) == {"retract": True, "tag": "i"}


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("https://Push.Example.com/a?b", "https://push.example.com"),
        ("https://push.example.com:443/a", "https://push.example.com"),
        ("https://push.example.com:8443/a", "https://push.example.com:8443"),
        ("http://push.example.com/a", None),
        ("https://user:word@push.example.com/a", None),
        ("https://push.example.com:99999/a", None),
        ("https://[::1]/a", None),
        ("https:///a", None),
        ("https://[/a", None),
    ],
)
def test_an_origin_is_as_a_browser_writes_it(endpoint: str, origin: str | None) -> None:
    """Small letters, no default port; what cannot be signed for has none."""
    assert origin_of(endpoint) == origin


def test_the_words_of_a_push_service_have_no_endpoint() -> None:
    """Neither the endpoint nor the token at its end is kept of an answer; a message's id is cut."""
    body = f"{ENDPOINT} some-token is wrong".encode()
    answer = classify(400, {}, body, endpoint=ENDPOINT, now=NOW)
    assert answer == Answer(AttemptOutcome.PERMANENT_FAILURE, detail="HTTP 400 … … is wrong")

    location = {"Location": f"https://push.example.com/m/{'x' * 100}?a"}
    assert classify(201, location, b"", endpoint=ENDPOINT, now=NOW).provider_id == "x" * 64


@pytest.mark.parametrize(
    ("subject", "is_one"),
    [
        ("mailto:ops@example.com", True),
        ("https://example.com", True),
        ("https://ops.example.com", True),
        ("ops@example.com", False),
        ("mailto:ops", False),
        ("https://example.com/contact", False),
        ("https://example.com:8443", False),
        ("http://example.com", False),
        ("", False),
    ],
)
def test_a_subject_is_one_that_can_be_signed(subject: str, is_one: bool) -> None:
    """Every subject that is taken is one that the library signs; the others are refused before there are keys."""
    assert is_subject(subject) is is_one
    if is_one:
        check_keys(Environment("dev", (), vapid=new_vapid_keys(subject)), NOW)


def test_keys_that_do_not_sign_are_named() -> None:
    """A check of an environment's keys says what to do about them."""
    environment = Environment("dev", (), vapid=replace(new_vapid_keys("mailto:a@example.com"), private_key="AA"))
    check_keys(replace(environment, vapid=None), NOW)
    with pytest.raises(ProviderCheckError, match="carillon env vapid dev --replace"):
        check_keys(environment, NOW)


def test_what_has_accepted_is_closed() -> None:
    """Browsers that have the push and are still in the profile, and of those the ones that are left."""
    states = (DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.SENT)
    targets = tuple(TargetDelivery(key, "", state) for key, state in zip(KEYS, states, strict=True))
    delivery = Delivery(Channel.WEB_PUSH, DeliveryState.SENT, targets=targets)

    assert targets_to_close(Closing(NOW), delivery, BROWSERS) == (BROWSERS[0], BROWSERS[2])
    assert targets_to_close(Closing(NOW), delivery, BROWSERS[1:]) == (BROWSERS[2],)
    assert targets_to_close(Closing(NOW, keys=frozenset(KEYS[:2])), delivery, BROWSERS) == (BROWSERS[0],)


def test_what_could_not_be_closed_is_left() -> None:
    """Temporary failures and lost answers are tried again, with those that this worker could not call; not the rest."""
    a, b, c = BROWSERS
    accepted, gone = call(a, AttemptOutcome.ACCEPTED), call(b, AttemptOutcome.TARGET_GONE)
    assert left_after(Closing(NOW), [accepted, gone], NOW, random=lambda: 1.0) is None

    for outcome in (AttemptOutcome.TEMPORARY_FAILURE, AttemptOutcome.UNKNOWN):
        left = left_after(Closing(NOW), [accepted, call(b, outcome)], NOW, uncalled=[c], random=lambda: 1.0)
        assert left == Closing(NOW, 1, NOW + timedelta(seconds=1), frozenset(KEYS[1:]))
    # At once, for it costs nothing that nobody was called.
    assert left_after(Closing(NOW), [accepted], NOW, uncalled=[c], random=lambda: 1.0) == Closing(
        NOW, 0, None, frozenset(KEYS[2:])
    )


@pytest.mark.parametrize(("retry_after", "is_given_up"), [(HOUR - timedelta(seconds=1), False), (HOUR, True)])
def test_closing_ends_after_an_hour(retry_after: timedelta, is_given_up: bool) -> None:
    """An hour after the retraction nothing is tried again."""
    busy = call(BROWSERS[0], AttemptOutcome.TEMPORARY_FAILURE, retry_after)

    left = left_after(Closing(NOW), [busy], NOW, random=lambda: 1.0)

    assert (left is None) is is_given_up
