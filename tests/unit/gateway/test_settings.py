from __future__ import annotations

import pytest

from gateway.settings import GatewaySettings
from services.kernel.process import SettingsError, read_settings


def test_origins_are_read_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks and empty places do not matter; without any, all pages may connect."""
    monkeypatch.setenv("CARILLON_ALLOWED_ORIGINS", " https://a.com,https://*.b.com , ")
    assert read_settings(GatewaySettings).allowed_origins == ("https://a.com", "https://*.b.com")

    monkeypatch.setenv("CARILLON_ALLOWED_ORIGINS", "")
    assert read_settings(GatewaySettings).allowed_origins == ()


def test_a_wrong_origin_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the variable and the text that is wrong."""
    monkeypatch.setenv("CARILLON_ALLOWED_ORIGINS", "https://a.com,b.com/x")

    with pytest.raises(SettingsError, match=r"^CARILLON_ALLOWED_ORIGINS: .*'b\.com/x' is no origin; write it as "):
        read_settings(GatewaySettings)
