"""Runs the command line: `python -m services` is `carillon`."""

from __future__ import annotations

from services.cli import main

if __name__ == "__main__":
    main()
