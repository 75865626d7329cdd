from __future__ import annotations

import pytest

from gateway.origins import is_allowed, origin_error


@pytest.mark.parametrize(
    ("origin", "pattern"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://app.example.com", "https://*.example.com"),
        ("https://a.b.example.com", "https://*.example.com"),
        ("http://a.localhost:8080", "http://*.localhost:8080"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_an_origin_that_is_named_is_allowed(origin: str, pattern: str) -> None:
    """It is the same text, or differs only in what the star stands for."""
    assert origin_error(pattern) is None
    assert is_allowed([origin], ["https://other.com", pattern])


@pytest.mark.parametrize(
    ("origin", "pattern"),
    [
        ("https://example.com", "https://*.example.com"),
        ("https://evilexample.com", "https://*.example.com"),
        ("https://app.example.com.evil.com", "https://*.example.com"),
        ("https://app.example.com", "https://example.com"),
        ("http://app.example.com", "https://*.example.com"),
        ("https://app.example.com:8443", "https://*.example.com"),
        ("https://app.example.com", "https://*.example.com:8443"),
        ("https://evil.com/.example.com", "https://*.example.com"),
        ("https://evil.com#.example.com", "https://*.example.com"),
        ("https://user@app.example.com", "https://*.example.com"),
        ("https://*.example.com", "https://app.example.com"),
        ("null", "https://*.example.com"),
        ("", "https://*.example.com"),
    ],
)
def test_any_other_origin_is_not_allowed(origin: str, pattern: str) -> None:
    """Another scheme or port is another origin, and a name that only looks alike is another name."""
    assert not is_allowed([origin], [pattern])


def test_a_request_without_an_origin_is_allowed_and_one_with_two_needs_both() -> None:
    """A header more does not help."""
    assert is_allowed([], ["https://a.com"])
    assert not is_allowed(["https://a.com", "https://evil.com"], ["https://a.com"])


@pytest.mark.parametrize(
    "text",
    ["example.com", "https://a.com/", "https://a.*.com", "https://*", "*", "null", "", "https://A.com", "https://"],
)
def test_what_is_no_origin_is_told(text: str) -> None:
    """A list that could never match is refused at the start, not found out by its users."""
    error = origin_error(text)

    assert error
    assert error.startswith(repr(text))
