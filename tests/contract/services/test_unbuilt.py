"""What the contract has and does not work yet: refused, never ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from services.kernel.auth import basic_authorization
from tests.contract.services.methods import BUILT, METHODS, Method
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import send_request

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOT_BUILT = {
    "increment_id": send_request(increment_id="i"),
    "wait": send_request(wait={"seconds": 1}),
    "validate_only": send_request(validate_only=True),
}


@pytest.mark.parametrize("field", NOT_BUILT)
async def test_a_field_that_is_not_built_is_refused(tenant: Tenant, field: str) -> None:
    """A field of the contract that does not work yet is refused by its name, never ignored."""
    before = await tenant.stored()

    refused = await refusal(tenant.backend.sender.Send(NOT_BUILT[field]))

    assert_violates(refused, [(field, "NOT_SUPPORTED_YET")])
    assert await tenant.stored() == before


@pytest.mark.parametrize("method", [one for one in METHODS if one.name not in BUILT], ids=lambda method: method.name)
async def test_a_method_that_is_not_built_says_so(tenant: Tenant, method: Method) -> None:
    """Every method of the contract that does not work yet answers UNIMPLEMENTED, whoever asks for it."""
    credentials = [basic_authorization(tenant.client_id, tenant.secret)]

    refused = await refusal(method.call(tenant.channel, b"", credentials))

    assert (refused.code, refused.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED_YET")
