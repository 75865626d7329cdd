"""What the OpenAPI document says against what the gateway does: requests made from it, right ones and wrong ones."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from services.kernel.clock import utc_now
from services.kernel.wire import to_timestamp
from tests.contract.gateway.notificationapi.world import USER_ID, basic, user_authorization
from tests.contract.services.requests import send_request

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.live.world import Live
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What the document promises of every answer. That wrong requests are refused is for other tests: many are taken on
# purpose, as their SDKs send them.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Of each route; some 300 requests in all.
MAX_EXAMPLES = 15


@pytest.mark.parametrize("realm", ["account", "user"])
@pytest.mark.timeout(300)
async def test_the_document_is_true(live: Live, tenant: Tenant, tmp_path: Path, realm: str) -> None:
    """Whatever is sent, nothing fails within; statuses, types and shapes of the answers are as the document says."""
    await tenant.send(send_request(), send_request())
    (waiting,) = await tenant.send(send_request(schedule_time=to_timestamp(utc_now() + timedelta(days=1))))
    parameters = {
        "client_id": tenant.client_id,
        "user_id": USER_ID,
        "notification_id": "order_tracking",
        "tracking_id": waiting.tracking_id,
    }
    config = tmp_path / "schemathesis.toml"
    lines = [f'"path.{name}" = "{value}"' for name, value in parameters.items()]
    config.write_text("\n".join(["[parameters]", *lines, ""]))
    account = basic(tenant.client_id, tenant.secret)
    authorization = account if realm == "account" else user_authorization(tenant, USER_ID)

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{live.url}/openapi.json"),
        *("--header", f"Authorization: {authorization}", "--checks", CHECKS),
        *("--phases", "examples,fuzzing", "--max-examples", str(MAX_EXAMPLES), "--generation-deterministic"),
        *("--suppress-health-check", "all", "--continue-on-failure", "--no-color"),
        cwd=tmp_path,
        env=os.environ | {"NO_PROXY": "127.0.0.1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()

    assert process.returncode == 0, output.decode()
