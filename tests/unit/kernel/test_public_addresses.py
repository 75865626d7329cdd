from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from services.kernel.public_addresses import PrivateAddressError, PublicResolver, is_public, open_connector
from tests.names import Names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PUBLIC = [
    "8.8.8.8",
    "192.0.0.9",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]
NOT_PUBLIC = [
    "",
    "example.com",
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.31.255.255",
    "192.168.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::808:808",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Gives the port of a server on loopback."""
    application = web.Application()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="inside")

    application.router.add_get("/", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    """What anybody can reach is public, in every notation."""
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_of_a_private_network_is_not(address: str) -> None:
    """Loopback, private, link-local, multicast and reserved addresses are not, however they are wrapped."""
    assert not is_public(address)


async def test_a_name_resolves_to_its_public_addresses() -> None:
    """What a name has beside public addresses is left out; one that has no public one does not resolve."""
    names = Names({"both.test": ["127.0.0.1", "8.8.8.8", "::1"], "inside.test": ["10.0.0.1"]})
    resolver = PublicResolver(names)

    assert [one["host"] for one in await resolver.resolve("both.test", 80)] == ["8.8.8.8"]
    with pytest.raises(PrivateAddressError):
        await resolver.resolve("inside.test", 80)
    await resolver.close()
    assert names.is_closed


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "[::ffff:127.0.0.1]", "localhost", "inside.test"])
async def test_nothing_private_is_connected_to(port: int, host: str) -> None:
    """A session over the connector reaches no private address, by a name or by any notation of the address."""
    resolver = Names({"inside.test": ["127.0.0.1"]}) if host == "inside.test" else None
    async with aiohttp.ClientSession(connector=open_connector(resolver=resolver)) as session:
        # Half an address is no URL to aiohttp, where others connect to it.
        with pytest.raises(aiohttp.ClientError, match=r"no public address|127\.1|2130706433"):
            await session.get(f"http://{host}:{port}/")


async def test_private_networks_can_be_allowed(port: int) -> None:
    """Where private networks are allowed the same name is connected to."""
    names = Names({"inside.test": ["127.0.0.1"]})
    connector = open_connector(private_networks=True, resolver=names)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"http://inside.test:{port}/") as answer,
    ):
        assert await answer.text() == "inside"
