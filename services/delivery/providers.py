"""The providers that this worker has, and which of them carries what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.delivery.bulkhead import Bulkhead
from services.kernel.vocabulary import Channel
from services.users.model import PushToken

if TYPE_CHECKING:
    from services.delivery.model import Provider, Target
    from services.environments.model import Environment


@dataclass(frozen=True, slots=True)
class Providers:
    """The providers by what they carry; one that is absent is not configured."""

    email: Provider | None = None
    sms: Provider | None = None
    call: Provider | None = None
    apns: Provider | None = None
    fcm: Provider | None = None
    web_push: Provider | None = None
    fallback: Provider | None = None
    """What carries everything that no other does: in development, the console."""

    _bulkheads: dict[str, Bulkhead] = field(default_factory=dict, repr=False, compare=False)

    @property
    def named(self) -> dict[str, Provider | None]:
        """All of them by the name of their setting, for who checks each."""
        return {"smtp": self.email, "twilio": self.sms, "apns": self.apns, "fcm": self.fcm}

    def choose(self, environment: Environment, channel: Channel, target: Target) -> Provider | None:
        """Gives the provider that carries a channel to a target, or None where none is configured."""
        match channel:
            case Channel.EMAIL:
                chosen = self.email
            case Channel.SMS:
                chosen = self.sms
            case Channel.CALL:
                chosen = self.call
            case Channel.PUSH:
                is_apn = isinstance(target, PushToken) and target.provider == "APN"
                chosen = self.apns if is_apn else self.fcm
            case Channel.WEB_PUSH:
                # Each environment has keys of its own, or none.
                chosen = self.web_push if environment.vapid else None
            case _:
                chosen = None
        return chosen or self.fallback

    def closes(self, environment: Environment) -> Provider | None:
        """Gives what closes what browsers show; the fallback shows nothing that could be closed."""
        return self.web_push if environment.vapid else None

    def bulkhead(self, provider: Provider) -> Bulkhead:
        """Gives what bounds the calls of a provider, so that a slow one holds up nobody else."""
        if provider.name not in self._bulkheads:
            self._bulkheads[provider.name] = Bulkhead(provider.max_in_flight)
        return self._bulkheads[provider.name]
