from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.notificationapi.callers import Caller, PathUser, path_user_of, read_caller
from services.kernel.auth import basic_authorization
from services.kernel.errors import DomainError, InvalidArgument, PermissionDenied, Unauthenticated

HASH = "ab+/cd=="
IDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), min_size=1, max_size=8)


def basic(text: str, *, encoding: str = "utf-8") -> str:
    """Makes the header."""
    return f"Basic {base64.b64encode(text.encode(encoding)).decode()}"


def caller(text: str, user_id: str = "", *, client_id: str = "dev") -> Caller:
    """Reads credentials in the path of a user, or of nobody."""
    return read_caller(basic(text), client_id, PathUser(user_id, user_id) if user_id else None)


def credentials(found: Caller) -> tuple[str, str]:
    """Gives what the services are called with."""
    return found.metadata[0]


def test_an_account_is_an_account_in_every_path() -> None:
    """Two parts are the client and its secret, unless the second one is the user of the path."""
    assert credentials(caller("dev:secret")) == basic_authorization("dev", "secret")
    found = caller("dev:secret", "anna")
    assert credentials(found) == basic_authorization("dev", "secret")
    assert found.user_id == "anna"


@pytest.mark.parametrize("user_id", ["anna", "a:b", "a b", "müller", "日本", "a%2Fb", "50%", "anna:" + HASH])
@pytest.mark.parametrize(
    ("after", "user_hash"),
    [
        ("", ""),
        (":", ""),
        (":undefined", ""),
        (":null", ""),
        (f":{HASH}", HASH),
        (f":{HASH}\n", HASH),
        (f": {HASH} ", HASH),
        (f":{quote(HASH, safe='')}", HASH),
    ],
)
def test_a_user_in_every_form(user_id: str, after: str, user_hash: str) -> None:
    """Without a hash, with an empty one, with a word for none, and with one that is trimmed and decoded."""
    found = caller(f"dev:{user_id}{after}", user_id)
    assert credentials(found) == basic_authorization("dev", user_id, user_hash)
    assert (found.user_id, found.other_user_id) == (user_id, "")


@settings(deadline=None)
@given(IDS)
def test_all_parts_may_be_percent_encoded(user_id: str) -> None:
    """As js-client 4.4 to 4.6 writes them."""
    written = f"dev:{quote(user_id, safe='')}:{quote(HASH, safe='')}"
    assert credentials(caller(written, user_id)) == basic_authorization("dev", user_id, HASH)


@pytest.mark.parametrize("scheme", ["Basic ", "BASIC ", "basic   ", "", "  Basic "])
def test_the_scheme_is_written_in_any_way(scheme: str) -> None:
    """In capitals, or left out."""
    header = scheme + base64.b64encode(b"dev:secret").decode().rstrip("=")
    assert credentials(read_caller(header, "dev", None)) == basic_authorization("dev", "secret")


def test_a_browser_writes_latin_1() -> None:
    """What is no UTF-8 is read a byte a character."""
    header = basic(f"dev:andré:{HASH}", encoding="latin-1")
    found = read_caller(header, "dev", PathUser("andré", "andré"))
    assert credentials(found) == basic_authorization("dev", "andré", HASH)


def test_somebody_else_than_the_path_names_is_left_to_the_services() -> None:
    """They know whether it is really them, and then refuse it."""
    found = caller(f"dev:ben:{HASH}", "anna")
    assert credentials(found) == basic_authorization("dev", "ben", HASH)
    assert found.user_id == "anna"


def test_a_plus_is_a_space_or_a_plus() -> None:
    """A user says which by their credentials; of an account's call both are told."""
    both = PathUser("a+b", "a b")
    for user_id in ("a+b", "a b"):
        found = read_caller(basic(f"dev:{user_id}:{HASH}"), "dev", both)
        assert (found.user_id, found.other_user_id) == (user_id, "")
    found = read_caller(basic("dev:secret"), "dev", both)
    assert (found.user_id, found.other_user_id) == ("a+b", "a b")


def test_the_plus_of_nodes_sdk_is_one() -> None:
    """It writes no space so, and says who it is."""
    node = "notificationapi-node-server-sdk/2.8.0"
    found = read_caller(basic("dev:secret"), "dev", PathUser("a+b", "a b"), user_agent=node)
    assert (found.user_id, found.other_user_id) == ("a+b", "")


def test_another_client_than_the_path_names_is_refused() -> None:
    """Before anything is asked."""
    with pytest.raises(PermissionDenied) as refused:
        caller("other:secret")
    assert refused.value.reason == "OTHER_CLIENT"


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic ", "Basic %%%", "Basic §", basic("dev"), basic("dev:"), basic(":x")]
)
def test_what_are_no_credentials_are_told_apart(header: str) -> None:
    """Missing or malformed, with the form that is right."""
    with pytest.raises(Unauthenticated) as refused:
        read_caller(header, "dev", None)
    assert refused.value.reason in ("CREDENTIALS_MISSING", "CREDENTIALS_MALFORMED")
    assert "clientId:" in refused.value.message


@settings(deadline=None)
@given(
    st.text(max_size=30) | st.binary(max_size=30).map(lambda raw: base64.b64encode(b"dev:" + raw).decode()), st.text()
)
def test_whatever_comes_is_read_or_refused(header: str, user_id: str) -> None:
    """Nothing else is raised, and what goes to the services is printable ASCII."""
    try:
        found = read_caller(header, "dev", PathUser(user_id, user_id), user_agent=header)
    except DomainError:
        return
    assert all(" " <= char <= "~" for _, value in found.metadata for char in value)


def test_the_services_are_told_who_speaks() -> None:
    """The protocol, and the User-Agent without what gRPC cannot carry, cut."""
    found = read_caller(basic("dev:secret"), "dev", None, user_agent="é\nnode/2.8.0 " + "x" * 300)
    assert dict(found.metadata)["carillon-protocol"] == "notificationapi"
    assert dict(found.metadata)["carillon-caller"] == ("node/2.8.0 " + "x" * 300)[:256]


@pytest.mark.parametrize(
    ("path", "resource", "literal", "spaced"),
    [
        (b"/dev/users/anna", "", "anna", "anna"),
        (b"/dev/users/anna/", "", "anna", "anna"),
        (b"/dev/users/anna/preferences", "/preferences", "anna", "anna"),
        (b"/dev/users/anna/preferences", "", "anna/preferences", "anna/preferences"),
        (b"/dev/users/anna/notifications/INAPP_WEB?count=1", "/notifications/INAPP_WEB", "anna", "anna"),
        (b"/dev/users/a%2Fb/account_metadata/", "/account_metadata", "a/b", "a/b"),
        (b"/dev/users/a/b/preferences", "/preferences", "a/b", "a/b"),
        (b"/dev/users/preferences/preferences", "/preferences", "preferences", "preferences"),
        (b"/dev/users/a%3Ab", "", "a:b", "a:b"),
        (b"/dev/users/%C3%A9", "", "é", "é"),
        (b"/dev/user_preferences/a+b", "", "a+b", "a b"),
        (b"/dev/user_preferences/a%2Bb", "", "a+b", "a+b"),
        (b"/dev/user_preferences/a+b%2Bc", "", "a+b+c", "a b+c"),
        (b"/dev/user_preferences/team/preferences", "", "team/preferences", "team/preferences"),
    ],
)
def test_a_path_names_a_user(path: bytes, resource: str, literal: str, spaced: str) -> None:
    """Decoded once, without what the route has behind; a "+" that is written as such may be a space."""
    assert path_user_of(path, resource) == PathUser(literal, spaced)


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        (b"/dev/sender", ""),
        (b"/dev/%75sers/anna", ""),
        (b"/dev/users/anna/%70references", "/preferences"),
        (b"/dev/users/preferences", "/preferences"),
        (b"/dev/users/%FF", ""),
        (b"/dev/users/a%ED%A0%80/preferences", "/preferences"),
    ],
)
def test_a_path_that_names_nobody_is_refused(path: bytes, resource: str) -> None:
    """Words of the path that are encoded, which the route took for its own all the same, and bytes that are no text."""
    with pytest.raises(InvalidArgument):
        path_user_of(path, resource)
