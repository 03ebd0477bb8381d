"""A request as its handler sees it, how a request fails, and what its sender learns of the failure."""

from __future__ import annotations

import asyncio
import contextvars
import time
from typing import TYPE_CHECKING, Any, Dict, Optional

if TYPE_CHECKING:
    from windservice import Service

# The codes of errors; the numbers are gRPC's.
CANCELED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED = range(1, 8)
RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 8, 9, 10, 12, 13, 14, 16

# A handler that fails with one of these codes has refused the request and done nothing of it.
REFUSALS = frozenset((
    INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, UNIMPLEMENTED, UNAUTHENTICATED,
))

DEFAULT_TIMEOUT = 5.0  # seconds that a sender waits unless it says otherwise


class ServiceError(Exception):
    """The failure of a request, as its sender gets it.

    `maybe`: an effect of the request may have left. A handler must set it if it refuses after it has changed something that
    the library does not see, such as its own database. `not_begun`: no handler started; only the library sets it.
    """

    def __init__(self, code: int, text: str, maybe: bool = False, not_begun: bool = False) -> None:
        super().__init__(text)
        self.code, self.text, self.maybe, self.not_begun = code, text, maybe, not_begun


class Client:
    """The sender of a request, and how far its handler has come."""

    def __init__(self, service: "Service", headers: Dict[str, str]) -> None:
        self.service = service
        self.player = headers.get("Wind-Player", "")  # the player logged in at the session; "" before a login, and between services
        self.session = headers.get("Wind-Session", "")  # the gateway's; "" unless a client sent the request
        self.sender = headers.get("Wind-From", "")  # the service that sent it, "<type>/<id>"
        self.trace = headers.get("traceparent", "")  # W3C traceparent
        self.message = headers.get("Wind-Message", "")
        self.logged_in = ""
        self.until = float("inf")  # when the request must be answered, by time.monotonic()
        self.handler: Optional[asyncio.Task[Any]] = None
        self.interrupted = False  # the handler was told to end
        self._begun = self._left = False

    def log_in(self, player: str) -> None:
        """Logs the session in as a player, with the answer to this request. Raises ValueError if `login` does not name the
        message, or the player is not 1 to 128 bytes of UTF-8 without control characters and without spaces at its ends."""
        if not self.session or self.message not in self.service.logins:
            raise ValueError(f"{self.message} cannot log a player in: login does not name it")
        if not 1 <= len(player.encode()) <= 128 or any(c < " " or "\x7f" <= c < "\xa0" for c in player) or player.strip() != player:
            raise ValueError(f"player {player[:64]!r} is not 1 to 128 bytes of UTF-8 without control characters and without spaces at its ends")
        self.player = self.logged_in = player

    def push(self, message: str, fields: Dict[str, Any]) -> None:
        """Sends a message to this player's client."""
        self.service.push(self.player, message, fields)

    def begin(self) -> None:
        """Marks that the handler starts: from here on the library cannot rule out effects by itself."""
        self._begun = True
        _current.set(self)

    def told(self, e: ServiceError) -> ServiceError:
        """Returns an error as the sender gets it. After the handler has begun, the error never says not_begun; and it says
        maybe if its code is not a refusal or an effect has left."""
        if not self._begun:
            return ServiceError(e.code, e.text, not_begun=True)
        return ServiceError(e.code, e.text, maybe=e.maybe or self._left or e.code not in REFUSALS)


_current: contextvars.ContextVar[Optional[Client]] = contextvars.ContextVar("wind_request", default=None)


def effect() -> None:
    """Records that an effect leaves the running handler, if there is one. Tasks and threads that it starts count as part of it."""
    client = _current.get()
    if client is not None:
        client._left = True


def time_left(timeout: float) -> float:
    """Returns how long the running handler may wait, in seconds: `timeout`, but not beyond the end of its request. A task that
    outlives its handler has `timeout`."""
    client = _current.get()
    if client is None or client.handler is None or client.handler.done():
        return timeout
    return min(timeout, client.until - time.monotonic())


def trace() -> str:
    """Returns the traceparent of the request that the running handler answers, or ""."""
    client = _current.get()
    return client.trace if client is not None else ""


def answer_within(timeout: float) -> float:
    """Returns how long a receiver may take if the sender waits `timeout`: less, so that the sender gets the answer in time."""
    return timeout - min(timeout / 5, 0.2)


def deadline(taken: float, headers: Dict[str, str]) -> float:
    """Returns when a request that arrived at `taken` must be answered."""
    timeout = headers.get("Wind-Timeout", "")
    return taken + answer_within(float(timeout) / 1000 if timeout.isdigit() else DEFAULT_TIMEOUT)


def line(text: str) -> str:
    """Returns a text in a form that a header allows."""
    return "".join(" " if c < " " or "\x7f" <= c < "\xa0" else c for c in text)[:1024].strip()
