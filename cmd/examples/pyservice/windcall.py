"""What a handler sends: calls to other services, commands into shards, and pushes to clients."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
import re
import time
from typing import Any, Awaitable, Coroutine, Dict, List, Optional, Sequence, Tuple, TypeVar

from windcodec import Codec, CodecError
from windetcd import Etcd, EtcdError
from windnats import Disconnected, Msg, Nats, NatsError, NoResponders
from windrequest import (
    DEADLINE_EXCEEDED, DEFAULT_TIMEOUT, INTERNAL, INVALID_ARGUMENT, UNAVAILABLE, UNKNOWN, ServiceError, effect, time_left, trace,
)
from windrooms import Rooms

log = logging.getLogger("windservice")

FRESH_FOR = 1.0  # seconds for which a caller believes what it has read of the directory
READ_WITHIN = 0.5  # seconds that a call waits for the directory

T = TypeVar("T")


class Peers:
    """The instances of other services, as the directory has them. NATS would choose even an instance whose process stands
    still."""

    def __init__(self, etcd: Etcd, cluster: str) -> None:
        self._etcd, self._cluster = etcd, cluster
        self._known: Dict[str, Tuple[float, List[Dict[str, Any]]]] = {}  # type → when read, and the entries
        self._reading: Dict[str, asyncio.Task[None]] = {}

    async def choose(self, kind: str, tried: Sequence[str]) -> str:
        """Returns an instance for a request that any may answer, but none of those tried; "" lets NATS choose."""
        await self._refresh(kind)
        return self.known(kind, tried)

    async def has_left(self, kind: str, instance: str) -> bool:
        """Reports whether the directory, just read, does not have an instance."""
        await self._refresh(kind)
        at, entries = self._known.get(kind, (-FRESH_FOR, []))
        return time.monotonic() - at < FRESH_FOR and all(e["id"] != instance for e in entries)

    async def _refresh(self, kind: str) -> None:
        if time.monotonic() - self._known.get(kind, (-FRESH_FOR, []))[0] >= FRESH_FOR:
            if kind not in self._reading:
                self._reading[kind] = asyncio.get_running_loop().create_task(self._read(kind))
            await asyncio.wait({self._reading[kind]}, timeout=READ_WITHIN)

    def known(self, kind: str, tried: Sequence[str]) -> str:
        """Is choose, with what has been read."""
        left = [e for e in self._known.get(kind, (0.0, []))[1] if not e.get("hung") and e.get("id") not in tried]
        up = [e for e in left if e.get("state") == "up"]
        return str(random.choice(up or left)["id"]) if left else ""

    async def _read(self, kind: str) -> None:
        try:
            texts = await self._etcd.under(f"/wind/{self._cluster}/services/{kind}/")
            entries = [json.loads(text) for text in texts]
            self._known[kind] = time.monotonic(), [e for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]
        except (EtcdError, ValueError) as e:
            log.debug("cannot read the instances of %s: %s", kind, e)
        finally:
            del self._reading[kind]

    def close(self) -> None:
        """Stops reading."""
        for task in list(self._reading.values()):
            task.cancel()


class Caller:
    """The part of a Service that sends for handlers."""

    kind: str
    instance: str
    codec: Codec
    nats: Nats
    _prefix: str
    _peers: Peers

    async def call(self, kind: str, message: str, fields: Dict[str, Any], *, instance: str = "", timeout: float = DEFAULT_TIMEOUT) -> Dict[str, Any]:
        """Asks any instance of a service, or the given one, and returns the answer. Raises ServiceError. Asks another instance
        if one has not begun the request because it is gone or ends. Waits at most `timeout` seconds, and no longer than the
        sender of the request that the handler answers."""
        name, answer = await self.ask_any(kind, message, self.codec.encode(message, "json", fields), instance, timeout)
        expected = self.codec.answers.get(message)
        if message in self.codec.answers and name != (expected or ""):
            raise ServiceError(INTERNAL, f"{kind} answered {message} with {name[:80] or 'nothing'}, want {expected or 'nothing'}", maybe=True)
        if not name:
            return {}
        try:
            return self.codec.decode(name, answer.headers.get("Wind-Format", "protobuf"), answer.data, strict=False)
        except CodecError as e:
            raise ServiceError(INTERNAL, str(e), maybe=True) from None

    async def ask_any(self, kind: str, message: str, payload: bytes, instance: str, timeout: float, effect: bool = True) -> Tuple[str, Msg]:
        """Is call without the schema: sends a payload of JSON, and returns the name of the answer and the answer. Without
        `effect` an answer changes nothing, so it is no effect of the handler."""
        left, tried = time_left(timeout), []
        if left <= 0:
            raise ServiceError(DEADLINE_EXCEEDED, f"the request's time is over: {kind} was not called")
        until = time.monotonic() + left
        while True:
            to = instance or await self._peers.choose(kind, tried)
            asking = self._unless_gone(kind, to, self._ask(kind, message, payload, to, max(0.001, until - time.monotonic())))
            try:
                return await (_sent(asking) if effect else asking)
            except ServiceError as e:
                if instance or not to or e.code != UNAVAILABLE or not e.not_begun:
                    raise
                tried.append(to)

    @property
    def rooms(self) -> Rooms:
        """The cluster's rooms."""
        return Rooms(self)

    async def _unless_gone(self, kind: str, instance: str, asking: Coroutine[Any, Any, Tuple[str, Msg]]) -> Tuple[str, Msg]:
        """Waits for an answer, but not from an instance that the directory has dropped a second ago."""
        task, gone = asyncio.get_running_loop().create_task(asking), 0
        try:
            while not (await asyncio.wait({task}, timeout=FRESH_FOR))[0]:
                gone = gone + 1 if instance and await self._peers.has_left(kind, instance) else 0
                if gone == 2 and not task.done():
                    raise ServiceError(UNAVAILABLE, f"{kind}/{instance} went away", maybe=True)
            return task.result()
        finally:
            task.cancel()

    async def _ask(self, kind: str, message: str, payload: bytes, instance: str, timeout: float) -> Tuple[str, Msg]:
        """Sends a request and returns the name and the message of its answer, or raises its error as a ServiceError."""
        subject = f"{self._prefix}{kind}." + (f"id.{instance}" if instance else "any")
        headers = self._envelope(message, timeout)
        answer = await self._request(subject, payload, headers, timeout, kind, message)
        h = answer.headers
        code = h.get("Nats-Service-Error-Code", "")
        if code:
            maybe = "Wind-Maybe" in h
            raise ServiceError(int(code) if code.isdigit() else UNKNOWN, h.get("Nats-Service-Error", ""), maybe, not maybe and "Wind-Not-Begun" in h)
        return h.get("Wind-Message", ""), answer

    async def _request(self, subject: str, payload: bytes, headers: Dict[str, str], timeout: float, whom: str, what: str) -> Msg:
        """Sends a message and returns its answer. What NATS reports becomes a ServiceError."""
        try:
            return await self.nats.request(subject, payload, headers, timeout)
        except (NoResponders, Disconnected) as e:
            lost = "lost" in str(e)
            raise ServiceError(UNAVAILABLE, _absent(whom) if isinstance(e, NoResponders) else str(e), maybe=lost, not_begun=not lost) from None
        except NatsError as e:
            raise _unsent(what, e) from None
        except asyncio.TimeoutError:
            raise ServiceError(DEADLINE_EXCEEDED, f"{whom} did not answer {what} within {timeout:.3g} s", maybe=True) from None

    async def command(self, shard: str, name: str, value: Optional[Dict[str, Any]] = None, *, timeout: float = DEFAULT_TIMEOUT) -> int:
        """Sends a command of the game into a shard, and returns the tick that committed it. `value` has the command's fields,
        as `wind call shard:NAME COMMAND JSON` takes them; a field that it lacks is zero. Raises ServiceError:
        FAILED_PRECONDITION means that the game rejected the command, with its reason. Waits at most `timeout` seconds, and no
        longer than the sender of the request that the handler answers."""
        if not re.fullmatch(r"[a-z0-9-]{1,40}", shard):
            raise ServiceError(INVALID_ARGUMENT, f"shard {shard[:64]!r} is not 1 to 40 characters of a-z, 0-9 and the dash")
        try:
            body = json.dumps({"op": "command", "name": name, "value": {} if value is None else value}, allow_nan=False).encode()
        except (TypeError, ValueError) as e:
            raise ServiceError(INVALID_ARGUMENT, f"the value of command {name} cannot be encoded: {e}") from None
        left = time_left(timeout)
        if left <= 0:
            raise ServiceError(DEADLINE_EXCEEDED, f"the request's time is over: {name} was not sent to shard {shard}")
        return await _sent(self._command(shard, name, body, left))

    async def _command(self, shard: str, name: str, body: bytes, timeout: float) -> int:
        headers = {"Wind-From": f"{self.kind}/{self.instance}", "Wind-Timeout": str(max(1, int(timeout * 1000)))}
        answer = await self._request(f"{self._prefix}shard.id.{shard}", body, headers, timeout, f"shard/{shard}", f"command {name}")
        try:
            head = json.loads(answer.data)
            if head["ok"]:
                return int(head["tick"])
            code, text, maybe, not_begun = int(head.get("code", UNKNOWN)), str(head.get("error", "")), bool(head.get("maybe")), bool(head.get("not_begun"))
        except (ValueError, TypeError, LookupError, AttributeError) as e:
            raise ServiceError(INTERNAL, f"the answer of shard {shard} cannot be read: {e!r}", maybe=True) from None
        raise ServiceError(code, text, maybe, not_begun)

    def tell(self, kind: str, message: str, fields: Dict[str, Any], *, instance: str = "", everyone: bool = False) -> None:
        """Sends a message to any instance of a service, the given one, or all of them, without waiting for an answer.
        Raises ServiceError if it cannot be sent, like the methods below."""
        instance = instance or self._peers.known(kind, [])
        to = "all" if everyone else f"id.{instance}" if instance else "any"
        self._publish(f"{kind}.{to}", message, self.codec.encode(message, "json", fields), self._envelope(message, 0))

    def push(self, player: str, message: str, fields: Dict[str, Any]) -> None:
        """Sends a message to the client of one player, wherever it is connected."""
        token = base64.urlsafe_b64encode(player.encode()).decode().rstrip("=")
        self._push(f"player.{token}", message, fields)

    def broadcast(self, message: str, fields: Dict[str, Any]) -> None:
        """Sends a message to the clients of all players."""
        self._push("players", message, fields)

    def _push(self, to: str, message: str, fields: Dict[str, Any]) -> None:
        if message not in self.codec.ids:
            raise ValueError(f"{message} has no id, so it cannot be sent to clients")
        form = "protobuf" if self.codec.protobuf else "json"
        headers = {"Wind-Message": message, "Wind-Id": str(self.codec.ids[message])}
        if form == "json":
            headers["Wind-Format"] = "json"
        self._publish(to, message, self.codec.encode(message, form, fields), headers)

    def _publish(self, to: str, message: str, payload: bytes, headers: Dict[str, str]) -> None:
        """Sends a message that nobody answers. What NATS reports becomes a ServiceError."""
        try:
            self.nats.publish(self._prefix + to, payload, headers)
        except NatsError as e:
            raise _unsent(message, e) from None
        effect()

    def _envelope(self, message: str, timeout: float) -> Dict[str, str]:
        headers = {"Wind-Message": message, "Wind-Format": "json", "Wind-From": f"{self.kind}/{self.instance}"}
        if trace():
            headers["traceparent"] = trace()
        if timeout > 0:
            headers["Wind-Timeout"] = str(max(1, int(timeout * 1000)))
        return headers


def _absent(whom: str) -> str:
    """Says that nobody listens where a request went."""
    kind, _, shard = whom.partition("/")
    return f"no node runs shard {shard}" if kind == "shard" else f"{whom} does not run"


def _unsent(what: str, e: NatsError) -> ServiceError:
    """Returns the error of a message that has not left."""
    return ServiceError(UNAVAILABLE if isinstance(e, Disconnected) else INVALID_ARGUMENT, f"{what} cannot be sent: {e}", not_begun=True)


async def _sent(sending: Awaitable[T]) -> T:
    """Waits for an answer. What was sent is an effect of the handler, unless the error says that nothing can have been done;
    it is one even if the handler stops waiting."""
    try:
        result = await sending
    except ServiceError as e:
        if e.maybe:
            effect()
        raise
    except asyncio.CancelledError:
        effect()
        raise
    effect()
    return result
