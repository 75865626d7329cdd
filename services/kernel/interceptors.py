"""What happens around every call, outermost first: the log line, the translation of errors, authentication.

An interceptor of grpc.aio returns a handler and never sees the call itself, so ``wrap`` rebuilds the handler inside
of an async context manager, and each interceptor is only such an ``around``. Each call runs in a task of its own, so
what is bound to context variables ends with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from services.kernel import auth, clock
from services.kernel.errors import DomainError, FieldViolation, InvalidArgument, PermissionDenied
from services.kernel.status import internal_status, to_status, unimplemented_status

if TYPE_CHECKING:
    from google.rpc import status_pb2

    # Generic for the type checker alone.
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]
    Around = Callable[[Context], AbstractAsyncContextManager[None]]
    Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]

Authenticate = Callable[[auth.Credentials], Awaitable[auth.Principal]]

CALL_ID_TRAILER = "carillon-call-id"

# Open without credentials: a load balancer and a curious grpcurl have none.
OPEN_SERVICES = (
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1alpha.ServerReflection/",
    "/grpc.reflection.v1.ServerReflection/",
)

_CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

_log = structlog.get_logger(__name__)
_call_id: ContextVar[str] = ContextVar("call_id", default="")


def current_call_id() -> str:
    """Gives the id of the current call, as in its log line and its trailer; empty outside of one."""
    return _call_id.get()


def wrap(handler: Handler, around: Around) -> Handler:
    """Rebuilds a handler of any of the four kinds so that it runs inside of ``around``, decoding included.

    The deserializer is taken over because grpc runs it outside of every interceptor and answers a failure with UNKNOWN
    and the exception's text. The innermost ``wrap`` decodes, as those further out find no deserializer any more.
    """
    kind = f"{'stream' if handler.request_streaming else 'unary'}_{'stream' if handler.response_streaming else 'unary'}"
    behavior = getattr(handler, kind)
    decode = handler.request_deserializer

    def receive(raw: Any) -> Any:
        if decode is None:
            return raw
        return _DecodedRequests(raw, decode) if handler.request_streaming else _decode(raw, decode)

    async def respond_once(raw: Any, context: Context) -> Any:
        async with around(context):
            return await behavior(receive(raw), context)

    async def respond_many(raw: Any, context: Context) -> None:
        # Written here rather than yielded, so that a cancellation arrives inside of `around` as what it is.
        async with around(context):
            responses = behavior(receive(raw), context)
            if not isinstance(responses, AsyncGenerator):
                await responses
                return

            async with aclosing(responses):
                async for response in responses:
                    await context.write(response)

    rebuild = getattr(grpc, f"{kind}_rpc_method_handler")
    respond = respond_many if handler.response_streaming else respond_once
    rebuilt: Handler = rebuild(respond, request_deserializer=None, response_serializer=handler.response_serializer)
    return rebuilt


class LogInterceptor(grpc.aio.ServerInterceptor):
    """Gives each call its id and writes one line about it when it is over."""

    def __init__(self, new_id: clock.IdSource = clock.new_id) -> None:
        self._new_id = new_id

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Wraps the handler, if the method exists."""
        handler = await continuation(handler_call_details)
        return handler and wrap(handler, partial(self._around, handler_call_details.method))

    @asynccontextmanager
    async def _around(self, method: str, context: Context) -> AsyncIterator[None]:
        started = time.perf_counter()
        call_id = self._new_id()
        _call_id.set(call_id)
        structlog.contextvars.bind_contextvars(call_id=call_id)
        context.set_trailing_metadata(((CALL_ID_TRAILER, call_id),))
        cancelled = False
        try:
            yield
        except asyncio.CancelledError:
            # By the client or by its deadline; no code was set then.
            cancelled = True
            raise
        finally:
            # Health is asked every few seconds, which would drown everything else.
            write = _log.debug if _is_open(method) else _log.info
            write(
                "rpc",
                method=method,
                code="CANCELLED" if cancelled else _code_name(context),
                duration_ms=round((time.perf_counter() - started) * 1000, 2),
                peer=context.peer(),
            )


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Answers a domain error with its status, and a defect with a status that tells nothing about it."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Wraps the handler, if the method exists."""
        handler = await continuation(handler_call_details)
        return handler and wrap(handler, self._around)

    @asynccontextmanager
    async def _around(self, context: Context) -> AsyncIterator[None]:
        try:
            yield
        except grpc.aio.AbortError:
            # A status was chosen already (by the health servicer, say).
            raise
        except DomainError as error:
            structlog.contextvars.bind_contextvars(reason=error.reason)
            await _abort(context, to_status(error, call_id=_call_id.get()))
        except Exception as error:
            if isinstance(error, NotImplementedError) and _code_name(context) == "UNIMPLEMENTED":
                # This is how the generated base class leaves a method out.
                await _abort(context, unimplemented_status(_call_id.get()))
            _log.exception("rpc_failed")
            await _abort(context, internal_status(_call_id.get()))


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Lets a call through once it is known who calls; a backend may call everything, a user only ``user_methods``.

    Args:
        authenticate: Checks credentials, and raises ``auth.credentials_invalid()`` for wrong ones.
        user_methods: Full names of methods, as ``/carillon.v1.Inbox/ListInbox``.
        open_methods: The same for those whose request is its own credential, which they check themselves. No other is
            looked at, not even a wrong one, and there is no current principal.
        require_ready: Called before one of these; raises while no call may run.
        admit: Called with the client_id of every other, once it is known; raises where it is one too many.
    """

    def __init__(
        self,
        authenticate: Authenticate,
        user_methods: frozenset[str],
        open_methods: frozenset[str] = frozenset(),
        *,
        require_ready: Callable[[], None] = lambda: None,
        admit: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._authenticate = authenticate
        self._user_methods = user_methods
        self._open_methods = open_methods
        self._require_ready = require_ready
        self._admit = admit

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Wraps the handler, if the method exists; one of an open service gets its decoding checked, no more."""
        handler = await continuation(handler_call_details)
        return handler and wrap(handler, partial(self._around, handler_call_details))

    @asynccontextmanager
    async def _around(self, details: grpc.HandlerCallDetails, context: Context) -> AsyncIterator[None]:
        if details.method in self._open_methods:
            self._require_ready()
        elif not _is_open(details.method):
            credentials = auth.parse_credentials(details.invocation_metadata)
            principal = await self._authenticate(credentials)
            auth.set_current_caller(principal, credentials)
            structlog.contextvars.bind_contextvars(client_id=principal.client_id)
            if principal.user_id:
                structlog.contextvars.bind_contextvars(user_id=principal.user_id)
            if principal.realm is auth.Realm.USER and details.method not in self._user_methods:
                raise PermissionDenied(
                    "only a backend may call this method; send client_id and client_secret", reason="BACKEND_ONLY"
                )
            self._admit(principal.client_id)
        yield


class _DecodedRequests:
    """The requests of a client stream, each decoded when it is asked for."""

    def __init__(self, raw: AsyncIterator[bytes], decode: Callable[[bytes], Any]) -> None:
        self._raw = raw
        self._decode = decode

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return _decode(await anext(self._raw), self._decode)


def _decode(raw: bytes, decode: Callable[[bytes], Any]) -> Any:
    try:
        return decode(raw)
    except DecodeError:
        problem = (
            "the request cannot be decoded: no message of this method, text that is not UTF-8, or too deep nesting"
        )
        reason = "UNDECODABLE_REQUEST"
        raise InvalidArgument([FieldViolation("", problem, reason)], reason=reason) from None


async def _abort(context: Context, status: status_pb2.Status) -> None:
    rich = rpc_status.to_status(status)
    # The trailers of an abort replace those that were set before.
    await context.abort(rich.code, rich.details, (*rich.trailing_metadata, (CALL_ID_TRAILER, _call_id.get())))


def _is_open(method: str) -> bool:
    return method.startswith(OPEN_SERVICES)


def _code_name(context: Context) -> str:
    """The name of the code that was set: grpc keeps a StatusCode, its number, or None for OK."""
    code: Any = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else _CODE_NAMES[code or 0]
