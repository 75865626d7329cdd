from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.cursors import Cursor, CursorSigner

SIGNER = CursorSigner(bytes(32))
CURSOR = Cursor(position=7 << 32 | 1, incarnation=1_767_355_200_000)
PLACES = [("a", "b"), ("ab", ""), ("a", "b\0c"), ("a", "c")]


def test_a_cursor_reads_as_it_was_written() -> None:
    """It is short, and fits in a URL."""
    text = SIGNER.sign(CURSOR, client_id="dev", user_id="anna")

    assert SIGNER.verify(text, client_id="dev", user_id="anna") == CURSOR
    assert len(text) == 43
    assert text.isascii()


def test_a_cursor_is_bound_to_its_place_and_its_key() -> None:
    """Of places that read alike when they are put together, each has cursors of its own."""
    texts = [SIGNER.sign(CURSOR, client_id=client_id, user_id=user_id) for client_id, user_id in PLACES]

    read = [[SIGNER.verify(text, client_id=c, user_id=u) is not None for c, u in PLACES] for text in texts]
    assert read == [[row == column for column in range(len(PLACES))] for row in range(len(PLACES))]
    assert CursorSigner(bytes(31) + b"x").verify(texts[0], client_id="a", user_id="b") is None


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.hex()))
def test_whatever_else_is_sent_is_no_cursor(text: str) -> None:
    """It is refused without an error, whatever it is."""
    assert SIGNER.verify(text, client_id="dev", user_id="anna") is None


@given(st.integers(0, 42), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/"))
def test_a_cursor_with_one_other_character_is_none(index: int, character: str) -> None:
    """Not even the last one, of which base64 uses some bits only, may be another."""
    text = SIGNER.sign(CURSOR, client_id="dev", user_id="anna")
    changed = text[:index] + character + text[index + 1 :]

    assert (SIGNER.verify(changed, client_id="dev", user_id="anna") is None) is (changed != text)
