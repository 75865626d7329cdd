import base64

import pytest

from services.kernel.crypto import MasterKeyError, SecretBox, new_master_key, new_secret, parse_master_key


def test_a_sealed_secret_opens() -> None:
    """What was sealed opens under the same key in the same place, and sealing twice gives other bytes."""
    box = SecretBox(parse_master_key(new_master_key()))
    sealed = box.seal("dev-secret", client_id="dev", key_id="k1")

    assert box.open(sealed, client_id="dev", key_id="k1") == "dev-secret"
    assert b"dev-secret" not in sealed
    assert sealed != box.seal("dev-secret", client_id="dev", key_id="k1")


def test_it_opens_nowhere_else() -> None:
    """Another key, another client, another key id, a changed or a cut text: none opens."""
    key = parse_master_key(new_master_key())
    sealed = SecretBox(key).seal("dev-secret", client_id="dev", key_id="k1")
    attempts = [
        (parse_master_key(new_master_key()), sealed, "dev", "k1"),
        (key, sealed, "other", "k1"),
        (key, sealed, "dev", "k2"),
        (key, sealed[:-1] + bytes([sealed[-1] ^ 1]), "dev", "k1"),
        (key, sealed[:5], "dev", "k1"),
        (key, b"", "dev", "k1"),
    ]

    for other_key, other_sealed, client_id, key_id in attempts:
        with pytest.raises(MasterKeyError):
            SecretBox(other_key).open(other_sealed, client_id=client_id, key_id=key_id)


@pytest.mark.parametrize(
    "text", ["", "short", "ä", base64.b64encode(bytes(31)).decode(), base64.b64encode(bytes(33)).decode()]
)
def test_a_wrong_master_key_is_refused(text: str) -> None:
    """What is not base64 of 32 bytes is refused in one line."""
    with pytest.raises(MasterKeyError) as caught:
        parse_master_key(text)

    assert "\n" not in str(caught.value)


def test_both_alphabets_are_taken() -> None:
    """The output of `openssl rand -base64 32` and base64url are both master keys."""
    assert parse_master_key(base64.b64encode(b"\xff" * 32).decode() + "\n") == b"\xff" * 32
    assert parse_master_key(base64.urlsafe_b64encode(b"\xff" * 32).decode()) == b"\xff" * 32


def test_a_new_secret_fits_in_credentials() -> None:
    """A secret has neither the colon of Basic nor the dot of an API key."""
    assert not set(new_secret()) & set(":.")
    assert new_secret() != new_secret()
