"""The addresses that go out with a message: where its reader unsubscribes, and where a provider reports.

Both are routes of the gateway, and all that they need is their token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from services.kernel.links import ReportLink, UnsubscribeLink

if TYPE_CHECKING:
    from services.delivery.model import Outgoing
    from services.kernel.links import LinkTokens


class Links:
    """Makes addresses; none where nobody has said where the gateway is for the world.

    Args:
        public_url: Where its HTTP side is, as CARILLON_PUBLIC_URL says it. May be empty.
        tokens: Makes their tokens.
    """

    def __init__(self, public_url: str, tokens: LinkTokens) -> None:
        self._public_url = public_url.rstrip("/")
        self._tokens = tokens

    def unsubscribe_url(self, outgoing: Outgoing) -> str | None:
        """Gives where the reader of a mail turns mails like it off: of its sub-notification, if it is about one."""
        if not self._public_url:
            return None
        link = UnsubscribeLink(
            outgoing.environment.client_id,
            outgoing.user_id,
            outgoing.notification_id,
            outgoing.sub_notification_id,
            outgoing.content.channel,
        )
        return f"{self._public_url}/unsubscribe/{self._tokens.write(link)}"

    def report_url(self, outgoing: Outgoing) -> str | None:
        """Gives where Twilio says what became of a text or call; it refuses what names a host that it cannot reach."""
        if urlsplit(self._public_url).hostname in (None, "localhost"):
            return None
        link = ReportLink(
            outgoing.environment.client_id, outgoing.user_id, outgoing.tracking_id, outgoing.content.channel
        )
        return f"{self._public_url}/callbacks/twilio/{self._tokens.write(link)}"
