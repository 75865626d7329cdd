"""js-client 4.7.1, as it is published, in jsdom and in a Chromium page of another origin than the gateway's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from carillon.v1 import inbox_pb2, users_pb2
from tests.conformance.browsers.inbox import count_unread, items, mark, retract, send
from tests.conformance.browsers.sdks import comes_to

if TYPE_CHECKING:
    from tests.conformance.browsers.js_client import JsClient
    from tests.contract.services.world import Caller

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

MANUAL = "MANUAL"
LIST = ".notificationapi-popup-inner"


async def test_badge_and_titles(client: JsClient, backend: Caller) -> None:
    """The bell counts what is unread, the list has the titles, the newest first, and what is read looks read."""
    read, _ = await send(backend, client.user_id, "Old"), await send(backend, client.user_id, "New")
    await mark(backend, client.user_id, read, inbox_pb2.INBOX_MARK_OPENED)

    await client.start(markAsReadMode=MANUAL)
    await client.shows_badge("1")
    await client.open()
    await client.shows_titles("New", "Old")
    await client.shows_unseen("New")


async def test_a_title_is_text(client: JsClient, backend: Caller) -> None:
    """What a sender has put into a plain title is shown as it is, though the client takes titles for HTML."""
    title = "<img src=x onerror=throwing()>&amp; <b>bold</b>"
    await send(backend, client.user_id, title)

    await client.start()
    await client.open()
    await client.shows_titles(title)


async def test_a_send_arrives_live(client: JsClient, backend: Caller) -> None:
    """What is sent is on top of the open list at once, and counted once."""
    await send(backend, client.user_id, "Before")
    await client.start(markAsReadMode=MANUAL)
    await client.open()
    await client.shows_titles("Before")

    await send(backend, client.user_id, "Live")
    await client.shows_titles("Live", "Before")
    await client.in_step()
    await client.shows_badge("2")


async def test_opening_reads_all(client: JsClient, backend: Caller) -> None:
    """Opening the list reads all: at the bell, in the inbox that others see, and after a new connection."""
    for number in range(3):
        await send(backend, client.user_id, f"Note {number}")
    await client.start()
    await client.shows_badge("3")

    await client.open()
    await client.shows_badge("")
    await comes_to(0, lambda: count_unread(backend, client.user_id))
    assert all(item.HasField("opened_time") for item in await items(backend, client.user_id))

    await client.start(markAsReadMode=MANUAL)
    await client.open()
    await client.shows_titles("Note 2", "Note 1", "Note 0")
    await client.shows_unseen()
    await client.shows_badge("")


async def test_scrolling_pages(client: JsClient, backend: Caller) -> None:
    """Of 120 items, scrolling asks for three pages, and the list holds each once."""
    titles = [f"Note {number}" for number in range(120)]
    await asyncio.gather(*(send(backend, client.user_id, title) for title in titles))
    await client.start(markAsReadMode=MANUAL)
    await client.shows_badge("+99")
    await client.open()
    await comes_to(sorted(titles), lambda: scrolled(client))
    await comes_to(
        True, lambda: client.page.evaluate("() => document.querySelector('.notificationapi-nomore') != null")
    )
    assert (await client.routes()).count("inapp_web/notifications") == 3


async def test_one_is_read_by_hand(client: JsClient, backend: Caller) -> None:
    """In the mode MANUAL the menu of an item reads that one, and no other."""
    for title in ("First", "Second"):
        await send(backend, client.user_id, title)
    await client.start(markAsReadMode=MANUAL)
    await client.open()
    await client.shows_unseen("Second", "First")

    await client.page.click(".notificationapi-notification-menu-button")
    await client.page.click(".notificationapi-notification-menu-item")
    await client.shows_unseen("First")
    await client.shows_badge("1")
    await comes_to(["First"], lambda: unread_titles(backend, client.user_id))
    await client.in_step()
    await client.shows_badge("1")


async def test_a_click_reads(client: JsClient, backend: Caller) -> None:
    """In the mode MANUAL_AND_CLICK a click on an item reads it."""
    await send(backend, client.user_id, "Clicked")
    await client.start(markAsReadMode="MANUAL_AND_CLICK")
    await client.open()
    await client.page.click(".notificationapi-notification-title")
    await client.shows_badge("")
    await comes_to(0, lambda: count_unread(backend, client.user_id))


async def test_all_are_read_by_hand(client: JsClient, backend: Caller) -> None:
    """The button above the list reads all."""
    for title in ("First", "Second"):
        await send(backend, client.user_id, title)
    await client.start(markAsReadMode=MANUAL)
    await client.open()
    await client.shows_badge("2")

    await client.page.click(".notificationapi-readAll-button")
    await client.shows_badge("")
    await client.shows_unseen()
    await comes_to(0, lambda: count_unread(backend, client.user_id))


async def test_what_happens_elsewhere(client: JsClient, backend: Caller) -> None:
    """The badge is right at once when an item is read elsewhere, or taken back; the list is after a reload."""
    read = await send(backend, client.user_id, "Read elsewhere")
    await send(backend, client.user_id, "Taken back", "news")
    await send(backend, client.user_id, "Stays")
    await client.start(markAsReadMode=MANUAL)
    await client.shows_badge("3")

    await mark(backend, client.user_id, read, inbox_pb2.INBOX_MARK_OPENED)
    await client.shows_badge("2")
    await retract(backend, client.user_id, "news")
    await client.shows_badge("1")

    await client.start(markAsReadMode=MANUAL)
    await client.open()
    await client.shows_titles("Stays", "Read elsewhere")
    await client.shows_unseen("Stays")
    await client.shows_badge("1")


async def test_preferences(client: JsClient, backend: Caller) -> None:
    """The switches show what the user has received; one that is off keeps the next item away, and on lets it in."""
    await send(backend, client.user_id, "First")
    await client.start(markAsReadMode=MANUAL)
    await client.open()
    await client.shows_titles("First")

    await client.page.click(".notificationapi-preferences-button")
    await client.shows_switches(note__INAPP_WEB=True, note__EMAIL=True)
    await client.page.click('.notificationapi-preferences-toggle[data-channel="INAPP_WEB"] label')
    await client.shows_switches(note__INAPP_WEB=False, note__EMAIL=True)
    await prefers(client, INAPP_WEB=False, EMAIL=True)

    await send(backend, client.user_id, "Kept away")
    await send(backend, client.user_id, "Still there", "news")
    await client.page.click(".notificationapi-preferences-close")
    await client.shows_titles("Still there", "First")

    await client.page.evaluate("() => client.patchUserPreference('note', 'INAPP_WEB', true)")
    await prefers(client, INAPP_WEB=True, EMAIL=True)
    await send(backend, client.user_id, "Back")
    await client.shows_titles("Back", "Still there", "First")


async def test_preferences_at_once(client: JsClient, backend: Caller) -> None:
    """Who asks for the preferences of a client that is not connected yet has them too.

    The client looks every 100 ms whether its socket is open, and hears no answer before it has seen that.
    """
    await send(backend, client.user_id, "First")
    await client.start()
    told = await client.page.evaluate(
        """async () => {
          const other = new NotificationAPI(client.state.initOptions);
          const told = await other.getUserPreferences();
          other.destroy();
          return told.map(({ notificationId }) => notificationId);
        }"""
    )
    assert told == ["note"]


async def test_preferences_of_a_part(client: JsClient, backend: Caller) -> None:
    """A part of a notification has switches of its own: off keeps its items away, and no others."""
    await send(backend, client.user_id, "First", sub_notification_id="family")
    await client.start(markAsReadMode=MANUAL)
    await client.page.evaluate("() => client.showUserPreferences()")
    await client.shows_switches(note__INAPP_WEB=True, note__EMAIL=True)
    await client.page.click(".notificationapi-preferences-expand")
    await client.shows_switches(
        note__INAPP_WEB=True, note__EMAIL=True, note__family__INAPP_WEB=True, note__family__EMAIL=True
    )

    await client.page.click('.notificationapi-preferences-subtoggle[data-channel="INAPP_WEB"] label')
    await prefers(client, part="family", INAPP_WEB=False, EMAIL=True)
    await prefers(client, INAPP_WEB=True, EMAIL=True)
    await send(backend, client.user_id, "Kept away", sub_notification_id="family")
    await send(backend, client.user_id, "Of the whole")
    await client.page.click(".notificationapi-preferences-close")
    await client.open()
    await client.shows_titles("Of the whole", "First")


async def test_identify(client: JsClient, backend: Caller) -> None:
    """What the page tells about its user is kept, from an origin that is not the gateway's."""
    await client.start()
    await client.page.evaluate(
        "user => client.identify(user)", {"id": client.user_id, "email": "spongebob@squarepants.com"}
    )
    user = await backend.users.GetUser(users_pb2.GetUserRequest(user_id=client.user_id))
    assert user.user.email == "spongebob@squarepants.com"


async def test_a_wrong_hash(client: JsClient, backend: Caller) -> None:
    """Without the right proof the socket is refused: nothing is shown, and who asks learns it."""
    await send(backend, client.user_id, "Secret")
    await client.start("d3Jvbmc=", markAsReadMode=MANUAL)

    refused = await client.page.evaluate("() => client.getUserPreferences().then(() => 'in', error => error)")
    assert refused == "Websocket failed to open."
    assert not await client.page.evaluate("() => 'hasOpened' in window")
    await client.open()
    await client.shows_titles()
    await client.page.evaluate("() => client.identify({ email: 'plankton@chumbucket.com' }).catch(() => {})")
    user = await backend.users.GetUser(users_pb2.GetUserRequest(user_id=client.user_id))
    assert user.user.email == ""


async def scrolled(client: JsClient) -> list[str]:
    """Scrolls down once, and gives the titles that are there."""
    await client.page.scroll(LIST)
    shown: list[str] = await client.page.evaluate("() => look.titles()")
    return sorted(shown)


async def unread_titles(backend: Caller, user_id: str) -> list[str]:
    """Gives the titles of what the user has not read."""
    return [item.content.title for item in await items(backend, user_id) if item.unread]


async def prefers(client: JsClient, *, part: str = "", **states: bool) -> None:
    """Awaits what the client is told of the preferences for notes, or for a part of them."""
    code = """async part => {
      const note = (await client.getUserPreferences()).find(({ notificationId }) => notificationId === "note");
      const shown = part ? note.subNotificationPreferences.find((sub) => sub.subNotificationId === part) : note;
      return Object.fromEntries(shown.settings.map(({ channel, state }) => [channel, state]));
    }"""
    await comes_to(states, lambda: client.page.evaluate(code, part))
