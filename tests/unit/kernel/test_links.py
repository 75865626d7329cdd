from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.cursors import Cursor, CursorSigner
from services.kernel.links import MAX_TOKEN_LENGTH, Link, LinkTokens, ReportLink, UnsubscribeLink
from services.kernel.vocabulary import Channel

TOKENS = LinkTokens(bytes(32))
UNSUBSCRIBE = UnsubscribeLink("dev", "anna@example.com", "order_tracking", "", Channel.EMAIL)
REPORT = ReportLink("dev", "anna@example.com", "01a2", Channel.SMS)
LONGEST = UnsubscribeLink("c" * 64, "ü" * 128, "n" * 128, "s" * 128, Channel.INAPP_WEB)
BASE64URL = frozenset(string.ascii_letters + string.digits + "-_")


@pytest.mark.parametrize("link", [UNSUBSCRIBE, REPORT, LONGEST], ids=["unsubscribe", "report", "longest"])
def test_a_token_reads_as_it_was_written(link: Link) -> None:
    """It is the same each time, bounded, and goes into a URL as it is."""
    token = TOKENS.write(link)

    assert TOKENS.read(token, type(link)) == link
    assert token == TOKENS.write(link)
    assert set(token) <= BASE64URL
    assert len(token) <= MAX_TOKEN_LENGTH


def test_a_token_says_nothing_to_anyone_else() -> None:
    """No id can be read in it, as it stands and decoded."""
    token = TOKENS.write(UNSUBSCRIBE)
    decoded = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))

    for text in ("anna@", "order_", "EMAIL"):
        assert text not in token
        assert text.encode() not in decoded


def test_a_token_is_of_one_kind() -> None:
    """One that unsubscribes reports nothing and the other way round, and no cursor is either."""
    cursor = CursorSigner(bytes(32)).sign(Cursor(1, 2), client_id="dev", user_id="anna")

    assert TOKENS.read(TOKENS.write(UNSUBSCRIBE), ReportLink) is None
    assert TOKENS.read(TOKENS.write(REPORT), UnsubscribeLink) is None
    # With as many ids as the other kind has.
    assert TOKENS.read(TOKENS.write(ReportLink("a", "b", "c\0d", Channel.EMAIL)), UnsubscribeLink) is None
    assert TOKENS.read(cursor, UnsubscribeLink) is None
    assert TOKENS.read(cursor, ReportLink) is None


def test_a_token_is_of_one_master_key() -> None:
    """Another one reads nothing in it."""
    assert LinkTokens(bytes(31) + b"x").read(TOKENS.write(UNSUBSCRIBE), UnsubscribeLink) is None


@given(st.integers(0, len(TOKENS.write(UNSUBSCRIBE)) - 1), st.sampled_from(sorted(BASE64URL | set("=+/ \u00e9"))))
def test_a_token_with_one_other_character_is_none(index: int, character: str) -> None:
    """Not even the last one, of which base64 uses some bits only, may be another."""
    token = TOKENS.write(UNSUBSCRIBE)
    changed = token[:index] + character + token[index + 1 :]

    assert (TOKENS.read(changed, UnsubscribeLink) is None) == (changed != token)


@given(st.integers(0, len(TOKENS.write(UNSUBSCRIBE)) - 1))
def test_a_part_of_a_token_is_none(length: int) -> None:
    """A link that a mail program has cut is none, wherever it was cut; nor is one with something behind it."""
    token = TOKENS.write(UNSUBSCRIBE)

    assert TOKENS.read(token[:length], UnsubscribeLink) is None
    assert TOKENS.read(token + token[:length] + "=", UnsubscribeLink) is None


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_whatever_else_is_sent_is_no_token(text: str) -> None:
    """It is refused without an error, whatever it is."""
    assert TOKENS.read(text, UnsubscribeLink) is None
    assert TOKENS.read(text, ReportLink) is None


def test_a_long_text_is_not_looked_into() -> None:
    """What is longer than any token is none at once, also where its beginning is one."""
    assert TOKENS.read(TOKENS.write(UNSUBSCRIBE) + "=" * MAX_TOKEN_LENGTH, UnsubscribeLink) is None
    assert TOKENS.read("A" * 10_000_000, UnsubscribeLink) is None
    assert TOKENS.read(TOKENS.write(ReportLink("dev", "u" * MAX_TOKEN_LENGTH, "t", Channel.SMS)), ReportLink) is None
