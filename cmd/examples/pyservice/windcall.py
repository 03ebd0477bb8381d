"""What a handler sends: calls to other services, and pushes to clients."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
import time
from typing import Any, Coroutine, Dict, List, Sequence, Tuple

from windcodec import Codec, CodecError
from windetcd import Etcd, EtcdError
from windnats import Disconnected, Msg, Nats, NoResponders
from windrequest import DEADLINE_EXCEEDED, DEFAULT_TIMEOUT, INTERNAL, UNAVAILABLE, UNKNOWN, ServiceError, effect

log = logging.getLogger("windservice")

FRESH_FOR = 1.0  # seconds for which a caller believes what it has read of the directory
READ_WITHIN = 0.5  # seconds that a call waits for the directory


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
        if one has not begun the request because it is gone or ends."""
        until, tried = time.monotonic() + timeout, []
        while True:
            to = instance or await self._peers.choose(kind, tried)
            try:
                name, answer = await self._unless_gone(kind, to, self._ask(kind, message, fields, to, max(0.001, until - time.monotonic())))
                break
            except ServiceError as e:
                if e.maybe:
                    effect()
                if instance or not to or e.code != UNAVAILABLE or not e.not_begun:
                    raise
                tried.append(to)
        effect()
        expected = self.codec.answers.get(message)
        if message in self.codec.answers and name != (expected or ""):
            raise ServiceError(INTERNAL, f"{kind} answered {message} with {name[:80] or 'nothing'}, want {expected or 'nothing'}", maybe=True)
        if not name:
            return {}
        try:
            return self.codec.decode(name, answer.headers.get("Wind-Format", "protobuf"), answer.data, strict=False)
        except CodecError as e:
            raise ServiceError(INTERNAL, str(e), maybe=True) from None

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

    async def _ask(self, kind: str, message: str, fields: Dict[str, Any], instance: str, timeout: float) -> Tuple[str, Msg]:
        """Sends a request and returns the name and the message of its answer, or raises its error as a ServiceError."""
        subject = f"{self._prefix}{kind}." + (f"id.{instance}" if instance else "any")
        headers = self._envelope(message, timeout)
        try:
            answer = await self.nats.request(subject, self.codec.encode(message, "json", fields), headers, timeout)
        except (NoResponders, Disconnected) as e:
            lost = "lost" in str(e)
            raise ServiceError(UNAVAILABLE, str(e), maybe=lost, not_begun=not lost) from None
        except asyncio.TimeoutError:
            raise ServiceError(DEADLINE_EXCEEDED, f"{kind} did not answer {message} within {timeout:g} s", maybe=True) from None
        h = answer.headers
        code = h.get("Nats-Service-Error-Code", "")
        if code:
            maybe = "Wind-Maybe" in h
            raise ServiceError(int(code) if code.isdigit() else UNKNOWN, h.get("Nats-Service-Error", ""), maybe, not maybe and "Wind-Not-Begun" in h)
        return h.get("Wind-Message", ""), answer

    def tell(self, kind: str, message: str, fields: Dict[str, Any], *, instance: str = "", everyone: bool = False) -> None:
        """Sends a message to any instance of a service, the given one, or all of them, without waiting for an answer."""
        instance = instance or self._peers.known(kind, [])
        to = "all" if everyone else f"id.{instance}" if instance else "any"
        self.nats.publish(f"{self._prefix}{kind}.{to}", self.codec.encode(message, "json", fields), self._envelope(message, 0))
        effect()

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
        self.nats.publish(self._prefix + to, self.codec.encode(message, form, fields), headers)
        effect()

    def _envelope(self, message: str, timeout: float) -> Dict[str, str]:
        headers = {"Wind-Message": message, "Wind-Format": "json", "Wind-From": f"{self.kind}/{self.instance}"}
        if timeout > 0:
            headers["Wind-Timeout"] = str(max(1, int(timeout * 1000)))
        return headers
