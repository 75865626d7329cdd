"""Files from URLs, over real sockets: what is taken, what is not, and where nobody can be led."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from services.delivery.fetching import MAX_REDIRECTS, Fetcher, FetchError
from services.kernel.public_addresses import is_public
from tests.names import Names
from tests.providers.files import FileHost, run_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Stands for a host of the internet: it is on loopback, but counts as public here.
PUBLIC = "127.0.0.2"


@pytest_asyncio.fixture(loop_scope="session")
async def host() -> AsyncIterator[FileHost]:
    """Gives a server with one file."""
    async with run_files() as running:
        running.files["/a.txt"] = b"the file"
        yield running


async def fetched(url: str, *, max_bytes: int = 1000, **options: Any) -> bytes:
    """Fetches one file as a worker does, where one address of loopback counts as public."""
    given = {"is_allowed": lambda address: address == PUBLIC or is_public(address)}
    async with Fetcher(**(given | options)) as fetcher:
        return await fetcher.fetch(url, max_bytes=max_bytes)


async def refused(url: str, **options: Any) -> tuple[str, bool]:
    """Gives why a file cannot be had, and whether that is final."""
    with pytest.raises(FetchError) as failed:
        await fetched(url, **options)
    return failed.value.detail, failed.value.is_final


async def test_a_file_is_fetched(host: FileHost) -> None:
    """The bytes arrive as they are, up to the last one that is allowed."""
    assert await fetched(host.url("/a.txt", PUBLIC), max_bytes=8) == b"the file"


@pytest.mark.parametrize(
    ("path", "status", "is_final"),
    [
        ("/none", 404, True),
        ("/x", 401, True),
        ("/x", 410, True),
        ("/x", 304, True),
        ("/x", 408, False),
        ("/x", 429, False),
        ("/x", 500, False),
        ("/x", 503, False),
    ],
)
async def test_what_is_refused_for_good_is_told_apart(host: FileHost, path: str, status: int, is_final: bool) -> None:
    """A 4xx is final but for those that mean later; a 5xx is not."""
    host.statuses["/x"] = [status]

    assert await refused(host.url(path, PUBLIC)) == (str(status), is_final)


async def test_a_file_that_is_too_large_is_not_read_to_its_end(host: FileHost) -> None:
    """One byte too many is refused, whether the server says how many there are or just goes on."""
    host.files |= {"/b": b"x" * 1001, "/long": b"x" * 50_000_000}

    for path in ("/b", "/long"):
        detail, is_final = await refused(host.url(path, PUBLIC))
        assert (detail, is_final) == ("more than the 1000 bytes that are left of 10 MB", True)


async def test_a_slow_file_is_given_up(host: FileHost) -> None:
    """A body that does not end is given up at the deadline, and may be tried again."""
    host.gate.clear()

    assert await refused(host.url("/a.txt", PUBLIC), total_s=0.5) == ("not there within 0.5 s", False)


async def test_a_lost_connection_may_be_tried_again(host: FileHost) -> None:
    """An answer that breaks off, and a server that is not there, are for now."""
    host.files["/lost"] = b"x"
    with socket.socket() as taken:
        taken.bind((PUBLIC, 0))
        absent = f"http://{PUBLIC}:{taken.getsockname()[1]}/"

        assert await refused(host.url("/lost", PUBLIC)) == ("the connection was lost", False)
        assert await refused(absent) == ("cannot connect", False)


async def test_a_compressed_file_is_refused(host: FileHost) -> None:
    """Nothing is unpacked, so nothing grows while it is read."""
    host.files["/compressed"] = b"x"

    assert (await refused(host.url("/compressed", PUBLIC)))[1]
    assert host.asked[0][1]["Accept-Encoding"] == "identity"


async def test_redirects_are_followed(host: FileHost) -> None:
    """Five redirects are followed, relative ones too; a sixth is not."""
    for i in range(MAX_REDIRECTS + 1):
        host.redirects[f"/{i}"] = f"{i + 1}"
    host.files[f"/{MAX_REDIRECTS + 1}"] = b"the end"

    assert await fetched(host.url("/1", PUBLIC)) == b"the end"
    assert await refused(host.url("/0", PUBLIC)) == (f"redirects more than {MAX_REDIRECTS} times", True)


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/a.txt",
        "http://[::ffff:127.0.0.1]:{port}/a.txt",
        "http://localhost:{port}/a.txt",
        "http://inside.test:{port}/a.txt",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://[fe80::1]/",
        "http://[64:ff9b::7f00:1]:{port}/a.txt",
    ],
)
async def test_no_redirect_leads_inside(host: FileHost, location: str) -> None:
    """A public host cannot lead a fetch to a private address, by any notation or name; nor can the URL itself."""
    url = location.format(port=host.port)
    host.redirects["/out"] = url
    names = {"resolver": Names({"inside.test": ["127.0.0.1"]})} if "inside.test" in url else {}
    outside = host.url("/out", PUBLIC)

    assert await refused(outside, **names) == ("the host has no public address", True)
    assert await refused(url, **names) == ("the host has no public address", True)
    assert host.paths == ["/out"]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.2/", "data:,x", "", "http://[", "//"])
async def test_no_redirect_leads_elsewhere(host: FileHost, location: str) -> None:
    """A redirect to what is no web address ends the fetch."""
    host.redirects["/out"] = location

    assert (await refused(host.url("/out", PUBLIC)))[1]


async def test_a_name_that_changes_its_address_does_not_pass(host: FileHost) -> None:
    """A name that was public at first and then is not is not connected to: each connection asks again."""
    addresses = [PUBLIC]
    names = Names({"fickle.test": addresses})
    url = host.url("/a.txt", "fickle.test")
    is_allowed = lambda address: address == PUBLIC  # noqa: E731 - short
    async with Fetcher(resolver=names, is_allowed=is_allowed) as fetcher:
        assert await fetcher.fetch(url, max_bytes=100) == b"the file"
    addresses[:] = ["127.0.0.1"]

    assert await refused(url, resolver=names) == ("the host has no public address", True)
    assert host.paths == ["/a.txt"]


async def test_private_networks_can_be_allowed(host: FileHost) -> None:
    """Where private networks are allowed the same address is fetched from."""
    assert await fetched(host.url("/a.txt"), private_networks=True, is_allowed=is_public) == b"the file"


async def test_nothing_of_ours_goes_along(host: FileHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cookie comes back, no credentials of a URL reach another host, and no proxy of the environment is used."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    host.redirects["/out"] = host.url("/a.txt", PUBLIC).replace("//", "//user:other@")

    assert await fetched(host.url("/out", PUBLIC).replace("//", "//user:secret@")) == b"the file"

    (_, first), (_, second) = host.asked
    assert first["Authorization"].startswith("Basic ")
    assert not {"Authorization", "Cookie", "Referer"} & second.keys()


async def test_what_is_no_url_is_refused() -> None:
    """A URL that a request may have and nobody can fetch is final."""
    for url in ("http://", "http://[", "http://a:99999/"):
        assert (await refused(url))[1]


async def test_a_cancelled_fetch_leaves_nothing_open(host: FileHost) -> None:
    """A fetch that is cancelled in the middle of the body ends its connection."""
    host.gate.clear()
    async with Fetcher(private_networks=True) as fetcher:
        fetching = asyncio.create_task(fetcher.fetch(host.url("/a.txt"), max_bytes=100))
        await host.arrived.acquire()
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
