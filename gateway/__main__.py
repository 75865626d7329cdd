"""Runs a gateway: `python -m gateway`, which is `carillon gateway`."""

from __future__ import annotations

import sys

from gateway.app import run_gateway
from gateway.settings import GatewaySettings
from services.kernel.logging import configure_logging
from services.kernel.process import SettingsError, read_settings, run
from services.kernel.server import PortTakenError, stop_on_signals


def main() -> None:
    """Runs until SIGTERM or SIGINT; what a person has to mend is one line on stderr."""
    try:
        settings = read_settings(GatewaySettings)
        configure_logging(settings.log_level)
        run(_run(settings))
    except (SettingsError, PortTakenError) as error:
        sys.exit(f"carillon: {error}")


async def _run(settings: GatewaySettings) -> None:
    await run_gateway(settings, stop_on_signals())


if __name__ == "__main__":
    main()
