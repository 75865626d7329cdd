import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from services.kernel.logging import configure_logging


@pytest.fixture
def restored() -> Iterator[None]:
    """Puts the process-wide configuration back."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    for package in ("services", "gateway"):
        logging.getLogger(package).setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.mark.usefixtures("restored")
def test_both_loggers_write_one_json_line_each() -> None:
    """Lines of structlog and of the standard library come out in one format, with what is bound to the context."""
    stream = io.StringIO()
    configure_logging("info", stream=stream)

    with structlog.contextvars.bound_contextvars(call_id="c1"):
        structlog.get_logger().info("rpc", code="OK")
        structlog.get_logger().debug("hidden")
        logging.getLogger("somebody").warning("careful")

    ours, theirs = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {"event": "rpc", "code": "OK", "call_id": "c1", "level": "info"}
    assert (theirs["event"], theirs["level"], theirs["call_id"]) == ("careful", "warning", "c1")


@pytest.mark.usefixtures("restored")
def test_a_traceback_stays_on_its_line() -> None:
    """An exception is part of its JSON line."""
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    try:
        raise ValueError("boom")
    except ValueError:
        structlog.get_logger().exception("rpc_failed")

    (line,) = stream.getvalue().splitlines()
    assert "ValueError: boom" in json.loads(line)["exception"]


@pytest.mark.usefixtures("restored")
def test_the_bodies_in_debug_lines_of_libraries_are_not_written() -> None:
    """At debug our own lines come, those of the driver do not: they hold what users wrote."""
    stream = io.StringIO()
    configure_logging("debug", stream=stream)
    structlog.get_logger("services.kernel.interceptors").debug("ours")
    logging.getLogger("pymongo.command").debug("theirs")

    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "ours"
