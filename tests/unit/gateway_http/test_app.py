from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest

from gateway.http.app import create_app, serve_http
from gateway.http.dev import DevAccess
from services.kernel.server import PortTakenError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI


def open_client(app: FastAPI, *, base_url: str = "http://localhost:8080") -> httpx.AsyncClient:
    """Gives a client of the application; a defect is answered, as a server answers it."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=base_url)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application as `carillon gateway` runs it."""
    async with open_client(create_app(ws_port=8081)) as client:
        yield client


@pytest.fixture
async def dev_app() -> AsyncIterator[FastAPI]:
    """The application as `carillon dev` runs it; its services do not answer."""
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        yield create_app(ws_port=8081, dev=DevAccess("dev", "dev-secret", channel))


async def test_health(client: httpx.AsyncClient) -> None:
    """The health check answers, and nobody keeps its answer."""
    response = await client.get("/healthz")

    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


async def test_health_of_a_process_that_stops() -> None:
    """A process on its way out says so, while it still answers."""
    async with open_client(create_app(ws_port=8081, is_stopping=lambda: True)) as client:
        response = await client.get("/healthz")

    assert response.status_code == 503
    assert response.json() == {"status": "stopping"}


async def test_gateway(client: httpx.AsyncClient, dev_app: FastAPI) -> None:
    """A page is told the port of the sockets, and that only dev has the routes of dev."""
    async with open_client(dev_app) as dev_client:
        assert (await dev_client.get("/v1/gateway")).json() == {"ws_port": 8081, "dev": True}
    assert (await client.get("/v1/gateway")).json() == {"ws_port": 8081, "dev": False}


@pytest.mark.parametrize("path", ["/", "/healthz", "/nothing"])
async def test_security_headers(client: httpx.AsyncClient, path: str) -> None:
    """Whatever is answered allows scripts of ours alone, sockets to the gateway alone, and no frames."""
    headers = (await client.get(path)).headers

    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; "
        "connect-src 'self' ws://*:8081 wss://*:8081; worker-src 'self'; manifest-src 'self'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", ["/nothing", "/../app.py", "/%2e%2e/http/app.py", "/a%00b", "/dev/session"])
async def test_unknown_paths(client: httpx.AsyncClient, path: str) -> None:
    """What is not there is a 404 in our shape; neither our code nor the routes of dev are there."""
    response = await client.get(path)

    assert response.status_code == 404
    assert response.json()["error"]["code"] == "NOT_FOUND"
    assert response.json()["error"].keys() == {"code", "message", "fix"}


async def test_wrong_method(client: httpx.AsyncClient) -> None:
    """A method that an address does not take is a 405 that names those it takes."""
    response = await client.post("/healthz")

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"
    assert response.json()["error"]["code"] == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"])
async def test_dev_answers_this_machine(dev_app: FastAPI, host: str) -> None:
    """The page of dev answers by every name of this machine."""
    async with open_client(dev_app) as client:
        assert (await client.get("/", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1:8080", "[", ""])
async def test_dev_refuses_other_hosts(dev_app: FastAPI, host: str) -> None:
    """A name of another site that points at this machine reaches nothing."""
    async with open_client(dev_app) as client:
        response = await client.get("/dev/session", params={"user_id": "u"}, headers={"Host": host})

    assert response.status_code == 421
    assert response.json()["error"]["code"] == "UNKNOWN_HOST"
    assert "content-security-policy" in response.headers


async def test_a_defect_tells_nothing() -> None:
    """A defect of ours is a 500 without any trace of it."""
    app = create_app(ws_port=8081)

    async def fail() -> None:
        raise RuntimeError("secret detail")

    app.router.add_api_route("/fail", fail)
    # Before the files, which take every path.
    app.router.routes.insert(0, app.router.routes.pop())
    async with open_client(app) as client:
        response = await client.get("/fail")

    assert response.status_code == 500
    assert response.json()["error"]["code"] == "INTERNAL"
    assert "secret" not in response.text


async def test_serve_http() -> None:
    """The server says its port once it takes connections, and ends when it is told to."""
    stop = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async with asyncio.TaskGroup() as group:
        app = create_app(ws_port=8081)
        group.create_task(serve_http(app, host="127.0.0.1", port=0, stop=stop, on_ready=port.set_result))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{await port}") as client:
            response = await client.get("/healthz")
        stop.set()

    assert response.status_code == 200
    assert "server" not in response.headers


async def test_cancelled_server_lets_go_of_its_port() -> None:
    """A server that is cancelled leaves its port, and the loop, to the next one."""
    port = 0
    for _ in range(2):
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        app = create_app(ws_port=8081)
        serving = asyncio.create_task(
            serve_http(app, host="127.0.0.1", port=port, stop=asyncio.Event(), on_ready=ready.set_result)
        )
        port = await ready
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/healthz")).status_code == 200

        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving


async def test_a_taken_port() -> None:
    """A port that is taken is one line that says so and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"^cannot listen on .* port {port}: .*set another one$"):
            await serve_http(create_app(ws_port=8081), host="127.0.0.1", port=port, stop=asyncio.Event())


async def test_a_port_is_shared_only_by_who_says_so() -> None:
    """One that others would share is taken all the same, unless this server shares too."""
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as shared:
        port = shared.getsockname()[1]
        with pytest.raises(PortTakenError):
            await serve_http(create_app(ws_port=8081), host="127.0.0.1", port=port, stop=asyncio.Event())

        stop = asyncio.Event()
        stop.set()
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        await serve_http(
            create_app(ws_port=8081),
            host="127.0.0.1",
            port=port,
            stop=stop,
            reuse_port=True,
            on_ready=ready.set_result,
        )
        assert await ready == port
