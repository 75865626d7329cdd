"""The attachments of a mail in a worker: fetched as soon as the message is there, loaded when the mail goes.

A URL may stop working minutes after the send, so what it leads to is fetched at once, whatever the mail waits for, and
is kept until the mail is done. What cannot be fetched within five minutes is left out, and the log says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

import structlog

from services.delivery.fetches import failed, is_due
from services.delivery.fetching import FetchError
from services.delivery.model import ATTACHMENT, File, shortened
from services.kernel.errors import Unavailable
from services.kernel.mongo import raise_if_cancelled
from services.messages.model import Attempt, AttemptOutcome
from services.messages.options import AttachmentState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from services.delivery.fetching import Fetcher
    from services.delivery.outbox import Key
    from services.kernel.clock import Clock
    from services.messages.files import FileStore, MessageKey
    from services.messages.options import Attachment
    from services.messages.store import MessageStore

MAX_BYTES = 10_000_000
"""What all files of a mail may have together."""

# After this no further fetch begins in the same round: what other channels have done waits to be written.
_ROUND_S = 30.0
_SWEEP_INTERVAL_S = 600.0
_SWEPT_AT_ONCE = 100

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of a mail's attachments in one round."""

    attachments: tuple[Attachment, ...]
    attempts: tuple[Attempt, ...] = ()
    """Those that failed."""


class Attachments:
    """Fetches, loads and forgets the files of mails.

    Args:
        files: Where they are kept.
        messages: Knows which of them are still needed.
        fetcher: Fetches them.
        clock: The time of attempts.
        jitter: Gives a number from 0 to 1.
    """

    def __init__(
        self,
        files: FileStore,
        messages: MessageStore,
        fetcher: Fetcher,
        *,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._files = files
        self._messages = messages
        self._fetcher = fetcher
        self._clock = clock
        self._jitter = jitter

    async def fetch(
        self,
        key: Key,
        attachments: Sequence[Attachment],
        create_time: datetime,
        *,
        now: datetime,
        may_go_on: Callable[[], Awaitable[bool]],
    ) -> Fetched:
        """Fetches and stores what is due, one after the other; what there is no time for stays as it is.

        Args:
            key: The message.
            attachments: All of its attachments.
            create_time: When it was sent.
            now: When the round began, by the clock that says what is due.
            may_go_on: Tells whether the message is still ours, asked right before a file is fetched, and stored.
        """
        after, attempts = list(attachments), list[Attempt]()
        began = asyncio.get_running_loop().time()
        for i, attachment in enumerate(attachments):
            if asyncio.get_running_loop().time() - began > _ROUND_S:
                break
            if not is_due(attachment, max(now, self._clock())):
                continue
            left = MAX_BYTES - sum(one.size for one in after)
            try:
                async with self._fetcher.turns:
                    # It may have waited long for its turn.
                    if not await may_go_on():
                        break
                    start_time = self._clock()
                    content = await self._fetcher.fetch(attachment.url, max_bytes=left)
                if not await may_go_on():
                    break
                await self._files.store(_message_key(key), {i: content}, self._clock())
            except FetchError as error:
                after[i] = failed(
                    attachment,
                    error.detail,
                    self._clock(),
                    create_time=create_time,
                    is_final=error.is_final,
                    random=self._jitter,
                )
                attempts.append(_attempt(attachment, error, start_time))
                continue
            except Unavailable:
                # It is fetched again; the other channels' calls go on.
                _log.warning("file_not_stored", tracking_id=key.tracking_id)
                break
            after[i] = replace(attachment, state=AttachmentState.STORED, size=len(content), next_time=None)
        return Fetched(tuple(after), tuple(attempts))

    async def load(
        self, key: Key, attachments: Sequence[Attachment]
    ) -> tuple[tuple[File, ...], tuple[Attachment, ...]]:
        """Gives the files to send, and the attachments, of which one whose file is gone is left out."""
        files, after = [], []
        for i, attachment in enumerate(attachments):
            if attachment.state is AttachmentState.STORED:
                content = await self._files.load(_message_key(key), i)
                if content is None:
                    attachment = replace(attachment, state=AttachmentState.LEFT_OUT, detail="is not stored any more")
                else:
                    files.append(File(attachment.filename, _content_type(attachment), content))
            after.append(attachment)
        return tuple(files), tuple(after)

    async def forget(self, key: Key) -> None:
        """Deletes the files of a message if its mail is done, as it is stored; if that fails, they are swept later."""
        message = _message_key(key)
        with contextlib.suppress(Unavailable):
            # Asked again: a worker that was overtaken does not know, and the next one may need them.
            if not await self._messages.find_needing_files([message]):
                await self._files.delete(message)

    async def sweep(self, now: datetime) -> int:
        """Deletes files that nobody needs and nobody has deleted; tells how many messages it looked at."""
        return await self._files.sweep(now, self._messages.find_needing_files)

    async def run(self, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> NoReturn:
        """Sweeps every ten minutes, until it is cancelled."""
        while True:
            raise_if_cancelled()
            try:
                while await self.sweep(self._clock()) == _SWEPT_AT_ONCE:
                    raise_if_cancelled()
            except Unavailable:
                _log.warning("files_not_swept")
            # Not only at the next round: a cancellation that the driver has lost would be noticed ten minutes later.
            raise_if_cancelled()
            await sleep(_SWEEP_INTERVAL_S)


def _attempt(attachment: Attachment, error: FetchError, start_time: datetime) -> Attempt:
    outcome = AttemptOutcome.PERMANENT_FAILURE if error.is_final else AttemptOutcome.TEMPORARY_FAILURE
    return Attempt(start_time, ATTACHMENT, outcome, detail=shortened(f"{attachment.filename}: {error.detail}"))


def _content_type(attachment: Attachment) -> str:
    return attachment.content_type or mimetypes.guess_type(attachment.filename)[0] or "application/octet-stream"


def _message_key(key: Key) -> MessageKey:
    return key.client_id, key.user_id, key.tracking_id
