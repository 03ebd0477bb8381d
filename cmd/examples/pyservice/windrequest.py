"""What a handler knows of its request, how it fails, and what its caller is told of that."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any, Dict, Optional

if TYPE_CHECKING:
    from windservice import Service

# The codes of errors; the numbers are gRPC's.
CANCELED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED = range(1, 8)
RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 8, 9, 10, 12, 13, 14, 16

# What a handler that answers with one of these says: the request was turned down, and nothing of it was done.
REFUSALS = frozenset((
    INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, UNIMPLEMENTED, UNAUTHENTICATED,
))

DEFAULT_TIMEOUT = 5.0  # seconds that a sender waits when it does not say


class ServiceError(Exception):
    """How a request fails, as its sender is told.

    `maybe`: an effect of it may have left. A handler sets it that refuses after it has changed something that the library
    does not see, such as a database of its own. `not_begun`: no handler began it; the library alone says so.
    """

    def __init__(self, code: int, text: str, maybe: bool = False, not_begun: bool = False) -> None:
        super().__init__(text)
        self.code, self.text, self.maybe, self.not_begun = code, text, maybe, not_begun


class Client:
    """Who sent a request, and how far its handler has come."""

    def __init__(self, service: "Service", headers: Dict[str, str]) -> None:
        self.service = service
        self.player = headers.get("Wind-Player", "")  # who is logged in at the session; "" before a login, and between services
        self.session = headers.get("Wind-Session", "")  # the gateway's; "" when no client sent the request
        self.sender = headers.get("Wind-From", "")  # the service that sent it, "<type>/<id>"
        self.trace = headers.get("traceparent", "")  # W3C traceparent
        self.logged_in = ""
        self._begun = self._left = False

    def log_in(self, player: str) -> None:
        """Logs the session in as a player, with the answer to this request."""
        self.player = self.logged_in = player

    def push(self, message: str, fields: Dict[str, Any]) -> None:
        """Sends a message to this player's client."""
        self.service.push(self.player, message, fields)

    def begin(self) -> None:
        """The handler starts: from here on only it knows what was done."""
        self._begun = True
        _current.set(self)

    def told(self, e: ServiceError) -> ServiceError:
        """An error as the sender gets it. Once the handler has begun, nobody may take the request for one that has not; and
        what is no refusal, or comes after an effect, may have done something."""
        if not self._begun:
            return ServiceError(e.code, e.text, not_begun=True)
        return ServiceError(e.code, e.text, maybe=e.maybe or self._left or e.code not in REFUSALS)


_current: contextvars.ContextVar[Optional[Client]] = contextvars.ContextVar("wind_request", default=None)


def effect() -> None:
    """Notes that something leaves the handler that runs, if one does: tasks and threads that it starts count as it."""
    client = _current.get()
    if client is not None:
        client._left = True


def answer_within(timeout: float) -> float:
    """How long a receiver may take for a request whose sender waits so long: less, so that the sender hears in time."""
    return timeout - min(timeout / 5, 0.2)
