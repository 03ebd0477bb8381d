"""A small NATS client on asyncio, with the standard library alone.

It supports what services need: subscriptions, queue groups, headers, requests and reconnecting. While the connection is
down, publish raises Disconnected: the client neither buffers messages nor sends any twice. Use a connection from only one
event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import secrets
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Set, Tuple
from urllib.parse import unquote, urlsplit

log = logging.getLogger("windnats")

CONNECT_TIMEOUT = 5.0  # seconds, for each server
PING_EVERY = 20.0  # seconds; more than two unanswered pings end the connection
FIRST_BACKOFF, LAST_BACKOFF = 0.05, 2.0  # seconds between attempts to reconnect
MAX_UNSENT = 16 << 20  # bytes waiting for the socket; beyond it, sending fails
MAX_LINE = 64 << 10  # bytes of a line of the protocol


WAY_IN = ": the URL needs the nodes' user and password, as wind infra prints it"


class NatsError(Exception):
    """An operation on NATS failed."""


class Disconnected(NatsError):
    """The connection is down. publish sent nothing; a pending request may have been received."""


class NoResponders(NatsError):
    """The subject of a request has no subscriber: nobody received it."""


@dataclass
class Msg:
    """A received message. Header names are as the sender wrote them; each has its first value."""

    subject: str
    reply: str
    data: bytes
    headers: Dict[str, str] = field(default_factory=dict)
    status: str = ""  # set by NATS itself: "503" means no responders


Callback = Callable[[Msg], None]


@dataclass
class _Subscription:
    subject: str
    queue: str
    callback: Callback


def encode_headers(headers: Dict[str, str]) -> bytes:
    """Encodes headers for HPUB."""
    lines = ["NATS/1.0"]
    for name, value in headers.items():
        if any(c < " " or c == "\x7f" for c in name + value) or ":" in name:
            raise NatsError(f"header {name!r} cannot have the value {value!r}")
        lines.append(f"{name}: {value}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def decode_headers(block: bytes) -> Tuple[Dict[str, str], str]:
    """Decodes the headers and the status of an HMSG. Skips malformed lines."""
    lines = block.decode("utf-8", "replace").split("\r\n")
    headers: Dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name, value.strip())
    parts = lines[0].split(None, 2)
    return headers, parts[1] if len(parts) > 1 else ""


class Nats:
    """A connection to one of several servers. `url` is nats://user:password@host:port, or a comma-separated list of them."""

    def __init__(self, url: str, name: str = "wind python") -> None:
        self._servers = [urlsplit(u.strip() if "//" in u else "nats://" + u.strip()) for u in url.split(",")]
        for s in self._servers:
            if s.scheme != "nats" or not s.hostname:
                raise NatsError(f"{s.scheme}://{s.hostname or ''}: this client takes nats://user:password@host:port, without TLS")
        self._name = name
        self._subscriptions: Dict[int, _Subscription] = {}
        self._next = 0
        self._writer: Optional[asyncio.StreamWriter] = None
        self._task: Optional[asyncio.Task[None]] = None
        self._pongs: List[asyncio.Future[None]] = []
        self._inbox = "_INBOX." + secrets.token_hex(11) + "."
        self._answers: Dict[str, asyncio.Future[Msg]] = {}
        self._closed = False
        self.refused: Set[str] = set()  # subjects to which NATS does not let this connection subscribe
        self.max_payload = 1 << 20  # bytes; the server announces its own
        self.reconnects = 0

    @property
    def connected(self) -> bool:
        """Whether the connection is up."""
        return self._writer is not None

    async def connect(self) -> None:
        """Connects, or raises NatsError if no server accepts. From then on it reconnects automatically."""
        reader = await self._dial()
        self.subscribe(self._inbox + "*", self._on_answer)
        self._task = asyncio.get_running_loop().create_task(self._run(reader))

    def subscribe(self, subject: str, callback: Callback, queue: str = "") -> int:
        """Calls `callback` for each message, in order, on the event loop; it must not block. Returns a number for unsubscribe."""
        self._next += 1
        self._subscriptions[self._next] = _Subscription(subject, queue, callback)
        if self._writer is not None:
            self._send(_sub(self._next, self._subscriptions[self._next]))
        return self._next

    def unsubscribe(self, number: int) -> None:
        """Ends a subscription. Messages that the server sent before still arrive: see flush."""
        if number in self._subscriptions and self._writer is not None:
            self._send(b"UNSUB %d\r\n" % number)

            def forget(_: asyncio.Future[None]) -> None:
                self._subscriptions.pop(number, None)

            self._ping().add_done_callback(forget)
        else:
            self._subscriptions.pop(number, None)

    def publish(self, subject: str, data: bytes = b"", headers: Optional[Dict[str, str]] = None, reply: str = "") -> None:
        """Sends a message, or raises. The bytes leave as soon as the socket accepts them."""
        if not subject or any(c in subject for c in " \t\r\n"):
            raise NatsError(f"{subject!r} is not a valid subject")
        block = encode_headers(headers) if headers else b""
        if len(block) + len(data) > self.max_payload:
            raise NatsError(f"a message of {len(block) + len(data)} bytes exceeds the server's limit of {self.max_payload}")
        to = subject + (" " + reply if reply else "")
        if block:
            self._send(f"HPUB {to} {len(block)} {len(block) + len(data)}\r\n".encode() + block + data + b"\r\n")
        else:
            self._send(f"PUB {to} {len(data)}\r\n".encode() + data + b"\r\n")

    async def request(self, subject: str, data: bytes = b"", headers: Optional[Dict[str, str]] = None, timeout: float = 5.0) -> Msg:
        """Sends a message and returns its answer. Raises NoResponders, Disconnected, or asyncio.TimeoutError."""
        token = self._inbox + secrets.token_hex(8)
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._answers[token] = answer
        try:
            self.publish(subject, data, headers, token)
            msg = await asyncio.wait_for(answer, timeout)
        finally:
            self._answers.pop(token, None)
        if msg.status == "503":
            raise NoResponders(f"nobody answers at {subject}")
        return msg

    async def flush(self, timeout: float = 5.0) -> None:
        """Returns once the server has received everything sent so far, and the callbacks have run for everything it had sent."""
        await asyncio.wait_for(self._ping(), timeout)

    async def close(self) -> None:
        """Ends the connection. First writes what was published, as far as the server accepts it within 2 s."""
        self._closed = True
        writer = self._writer
        if writer is not None:
            try:
                await asyncio.wait_for(writer.drain(), 2)
            except (OSError, asyncio.TimeoutError):
                pass
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._lost()

    def _on_answer(self, msg: Msg) -> None:
        waiting = self._answers.get(msg.subject)
        if waiting is not None and not waiting.done():
            waiting.set_result(msg)

    def _send(self, data: bytes) -> None:
        if self._writer is None:
            raise Disconnected("not connected to NATS")
        if self._writer.transport.get_write_buffer_size() > MAX_UNSENT:
            raise NatsError(f"more than {MAX_UNSENT} bytes are waiting to be sent")
        self._writer.write(data)

    def _ping(self) -> asyncio.Future[None]:
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._send(b"PING\r\n")
        self._pongs.append(pong)
        return pong

    async def _dial(self) -> asyncio.StreamReader:
        failure: Exception = NatsError("no server")
        for server in random.sample(self._servers, len(self._servers)):
            try:
                return await asyncio.wait_for(self._shake(server.hostname, server.port or 4222, server.username, server.password), CONNECT_TIMEOUT)
            except (OSError, ValueError, EOFError, asyncio.TimeoutError, NatsError) as e:
                failure = e if isinstance(e, NatsError) else NatsError(f"NATS does not answer at {server.hostname}:{server.port or 4222}: {e or type(e).__name__}")
        raise failure

    async def _shake(self, host: str, port: int, user: Optional[str], password: Optional[str]) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection(host, port, limit=MAX_LINE)
        try:
            line = await reader.readline()
            if not line.startswith(b"INFO "):
                raise NatsError(f"{host}:{port} is not a NATS server")
            info = json.loads(line[5:])
            if info.get("tls_required"):
                raise NatsError(f"{host}:{port} requires TLS, which this client does not support")
            self.max_payload = int(info.get("max_payload", self.max_payload))
            options = {
                "verbose": False, "pedantic": False, "lang": "python", "version": "1", "protocol": 1, "name": self._name,
                "headers": True, "no_responders": True,
            }
            if user is not None:
                options["user"], options["pass"] = unquote(user), unquote(password or "")
            writer.write(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
            while True:
                line = await reader.readline()
                if line.startswith(b"-ERR"):
                    why = line[4:].decode("utf-8", "replace").strip()
                    raise NatsError(f"{host}:{port} refuses: {why}{WAY_IN if 'authorization' in why.lower() else ''}")
                if line.startswith(b"PONG"):
                    break
                if not line:
                    raise NatsError(f"{host}:{port} closed the connection")
            self.refused.clear()
            for number, subscription in self._subscriptions.items():
                writer.write(_sub(number, subscription))
        except BaseException:
            writer.close()
            raise
        self._writer = writer
        return reader

    async def _run(self, reader: asyncio.StreamReader) -> None:
        backoff = FIRST_BACKOFF
        while not self._closed:
            keep = asyncio.get_running_loop().create_task(self._keep_alive())
            try:
                await self._read(reader)
            except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, NatsError) as e:
                log.warning("lost the connection to NATS: %s", e or type(e).__name__)
            finally:
                keep.cancel()
                self._lost()
            while not self._closed:
                await asyncio.sleep(backoff * random.uniform(0.5, 1))
                try:
                    reader = await self._dial()
                except NatsError as e:
                    log.info("not connected to NATS yet: %s", e)
                    backoff = min(LAST_BACKOFF, backoff * 2)
                    continue
                self.reconnects += 1
                backoff = FIRST_BACKOFF
                log.warning("connected to NATS again")
                break

    def _lost(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        pongs, self._pongs = self._pongs, []
        for waiting in [*pongs, *self._answers.values()]:
            if not waiting.done():
                waiting.set_exception(Disconnected("the connection to NATS was lost"))
                waiting.exception()  # the waiter gets it; without a waiter, this keeps asyncio from logging it

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(PING_EVERY)
            if len(self._pongs) > 2 and self._writer is not None:
                self._writer.close()
                return
            try:
                self._ping()
            except NatsError:
                return

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            line = await reader.readuntil(b"\r\n")
            verb = line[:4].upper()
            if verb == b"MSG ":
                await self._message(reader, line[4:].decode().split(), False)
            elif verb == b"HMSG":
                await self._message(reader, line[5:].decode().split(), True)
            elif verb == b"PING":
                self._send(b"PONG\r\n")
            elif verb == b"PONG":
                if self._pongs:
                    pong = self._pongs.pop(0)
                    if not pong.done():
                        pong.set_result(None)
            elif verb == b"-ERR":
                self._hear(line[4:].decode("utf-8", "replace").strip())
            elif verb == b"INFO":
                self.max_payload = int(json.loads(line[5:]).get("max_payload", self.max_payload))

    def _hear(self, error: str) -> None:
        """Takes an error that does not end the connection."""
        no = re.match(r"'Permissions Violation for Subscription to \"([^\" ]+)\"", error)
        if no is None:
            log.warning("NATS says %s", error)
            return
        self.refused.add(no.group(1))
        if not self.reconnects:
            return  # the caller checks
        log.warning("%s", self.refusal())

    def refusal(self) -> str:
        """Describes the subjects that NATS refuses, and the way out."""
        first, more = min(self.refused, default=""), len(self.refused) - 1
        return f"NATS does not let this service subscribe to {first}" + (f" and {more} more" if more > 0 else "") + WAY_IN

    def check(self) -> None:
        """Raises NatsError if NATS refuses a subscription. First flush."""
        if self.refused:
            raise NatsError(self.refusal())

    async def _message(self, reader: asyncio.StreamReader, parts: List[str], has_headers: bool) -> None:
        sizes = 2 if has_headers else 1
        if len(parts) not in (2 + sizes, 3 + sizes):
            raise NatsError(f"malformed message line with {len(parts)} parts")
        reply = parts[2] if len(parts) == 3 + sizes else ""
        total = int(parts[-1])
        body = await reader.readexactly(total + 2)
        msg = Msg(parts[0], reply, body[:total])
        if has_headers:
            size = int(parts[-2])
            msg.headers, msg.status = decode_headers(body[:size])
            msg.data = body[size:total]
        subscription = self._subscriptions.get(int(parts[1]))
        if subscription is None:
            return
        try:
            subscription.callback(msg)
        except Exception:  # a failing callback must not end the connection
            log.exception("a callback of %s failed", subscription.subject)


def _sub(number: int, s: _Subscription) -> bytes:
    return f"SUB {s.subject} {s.queue + ' ' if s.queue else ''}{number}\r\n".encode()


