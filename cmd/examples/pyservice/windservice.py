"""A service of Wind in Python: handlers found by their names, called over NATS, registered in etcd.

    service = Service("translate", "translate-1", messages=translate_wind)
    service.client_handlers(my_handlers)       # its functions Handler_<Message>
    asyncio.run(service.run(nats_url, etcd_url))

A handler is `async def Handler_TranslateRequest(client, request)`. `request` is a dictionary with the message's fields;
it returns a dictionary, or None where the message has no answer, or raises ServiceError. Handlers run on one event
loop: between two awaits nobody else runs, so they need no locks. Requests of one player run one after another.

Client handlers take what players send through a gateway; server handlers what other services send. A client never
reaches a server handler. Gateways send PlayerDisconnected{player, session} when a player's session is over.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import secrets
import signal
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from types import ModuleType
from typing import Any, Awaitable, Callable, Dict, List, Optional, Set, Tuple

from windcodec import DISCONNECTED, Codec, CodecError
from windetcd import Etcd, EtcdError, Registration, Taken
from windnats import Disconnected, Msg, Nats, NatsError, NoResponders
from windrequest import (  # what handlers need of it, they find here
    ABORTED, ALREADY_EXISTS, CANCELED, DEADLINE_EXCEEDED, DEFAULT_TIMEOUT, FAILED_PRECONDITION, INTERNAL, INVALID_ARGUMENT, NOT_FOUND,
    PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAUTHENTICATED, UNAVAILABLE, UNIMPLEMENTED, UNKNOWN, Client, ServiceError, answer_within, effect,
)

__all__ = [
    "ABORTED", "ALREADY_EXISTS", "CANCELED", "DEADLINE_EXCEEDED", "FAILED_PRECONDITION", "INTERNAL", "INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "UNAVAILABLE", "UNIMPLEMENTED", "UNKNOWN", "Client", "Service", "ServiceError",
]

log = logging.getLogger("windservice")

PREFIX = "Handler_"
MAX_IN_FLIGHT = 10_000  # requests taken and not answered; more are refused
SEEN_FOR = 60.0  # seconds for which a player counts as one of ours
MICRO = "io.nats.micro.v1."


Handler = Callable[[Client, Dict[str, Any]], Awaitable[Optional[Dict[str, Any]]]]


@dataclass
class Stats:
    """What a service did and does. `refused` were none, `failed` were answered with an error."""

    requests: int = 0
    refused: int = 0
    failed: int = 0
    in_flight: int = 0
    seconds: float = 0.0  # that handlers took
    last_error: str = ""


class Service:
    """An instance of a service. `kind` and `instance` are [a-z0-9-], at most 40 and 60 of them.

    `messages` is the module of ids that `wind gen --lang python` made (IDS, ANSWERS, FIELDS); `pb2` are modules of
    protoc's Python output for the same messages, with which the service takes Protobuf too, and without which JSON alone.
    `public` are messages that sessions without a login may send, `login` those that log a session in. `load`, if given,
    says how busy the service is: 0 to 1.
    """

    def __init__(
        self, kind: str, instance: str, messages: ModuleType, *, cluster: str = "dev", pb2: Tuple[ModuleType, ...] = (),
        public: Tuple[str, ...] = (), login: Tuple[str, ...] = (), capacity: int = 0, selector: str = "",
        load: Optional[Callable[[], float]] = None, version: str = "0.1.0", ttl: int = 5, drain: float = 10.0,
    ) -> None:
        if not re.fullmatch(r"[a-z0-9-]{1,40}", kind) or kind in ("player", "players", "shard"):
            raise ValueError(f"service type {kind!r} is not 1 to 40 of a-z, 0-9 and the dash, or it is taken")
        if not re.fullmatch(r"[a-z0-9-]{1,60}", instance):
            raise ValueError(f"instance {instance!r} is not 1 to 60 of a-z, 0-9 and the dash")
        if not re.fullmatch(r"|random|least|consistent-hash|(max-threshold|min-threshold|bin-pack)(=(0?\.\d+|1))?", selector):
            raise ValueError(f"selector {selector!r} is none of random, least, max-threshold=0.8, min-threshold=0.2, bin-pack=0.8, consistent-hash")
        self.kind, self.instance, self.cluster, self.version = kind, instance, cluster, version
        self.codec = Codec(messages, pb2)
        self.stats = Stats()
        self._stopping: Optional[asyncio.Event] = None  # of the loop that run is in
        self._stopped = False
        self._public, self._login = set(public), set(login)
        self._capacity, self._selector, self._load, self._ttl, self._drain = capacity, selector, load, ttl, drain
        self._handlers: Dict[bool, Dict[str, Handler]] = {True: {}, False: {}}  # by whether clients send the message
        self._tails: Dict[str, asyncio.Task[None]] = {}  # the last request of each player
        self._running: Set[asyncio.Task[None]] = set()  # requests
        self._tasks: Set[asyncio.Task[None]] = set()  # they and what else runs
        self._seen: Dict[str, float] = {}  # player → when
        self._switching: asyncio.Lock  # one drain or undrain at a time
        self._leaving = False
        self._started = datetime.now(timezone.utc)
        self._id = secrets.token_hex(11)
        self._prefix = f"windrpc.{cluster}."
        self._subscriptions: Dict[str, int] = {}
        self._entry: Optional[Registration] = None
        self.failure: Optional[Taken] = None  # why it has stopped by itself
        self.nats: Nats

    # Handlers.

    def client_handlers(self, module: object) -> None:
        """Takes the functions Handler_<Message> of a module or an object, for what players send."""
        self._find(module, True)

    def server_handlers(self, module: object) -> None:
        """Takes the functions Handler_<Message> of a module or an object, for what other services send."""
        self._find(module, False)

    def client_handler(self, handler: Handler) -> Handler:
        """A decorator for one function Handler_<Message>, for what players send."""
        return self._add(handler, True)

    def server_handler(self, handler: Handler) -> Handler:
        """A decorator for one function Handler_<Message>, for what other services send."""
        return self._add(handler, False)

    def _find(self, module: object, client: bool) -> None:
        for name in sorted(vars(module)):
            if name.startswith(PREFIX):
                self._add(getattr(module, name), client)

    def _add(self, handler: Handler, client: bool) -> Handler:
        name = getattr(handler, "__name__", "")
        if not name.startswith(PREFIX) or not asyncio.iscoroutinefunction(handler):
            raise ValueError(f"{name or handler!r} is no handler: it is async def {PREFIX}<Message>(client, request)")
        message = name[len(PREFIX):]
        self.codec.known(message)
        if message in self._handlers[client]:
            raise ValueError(f"there are two handlers for {message}")
        self._handlers[client][message] = handler
        return handler

    def methods(self) -> List[Dict[str, Any]]:
        """What the service handles for clients, as the directory has it."""
        found = []
        for name in sorted(self._handlers[True]):
            method: Dict[str, Any] = {"name": name, "id": self.codec.ids.get(name, 0)}
            answer = self.codec.ids.get(self.codec.answers.get(name) or "", 0)
            if answer:
                method["answer"] = answer
            if name in self._login:
                method["login"] = True
            if name in self._public:
                method["public"] = True
            found.append(method)
        return found

    # Life.

    async def run(self, nats_url: str, etcd_url: str) -> None:
        """Serves until SIGTERM or SIGINT, or stop: then lets nobody in, finishes what runs, and leaves. Raises Taken when
        another process has the instance's name, at once or later: then it has lost its lease before."""
        loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, self.stop)
            except (NotImplementedError, RuntimeError):
                pass  # another system, or not the main thread
        await self.start(nats_url, etcd_url)
        try:
            if not self._stopped:
                await self._stopping.wait()
        finally:
            await self.leave()
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """Ends run. It belongs to the event loop that run is in, like everything here."""
        self._stopped = True
        if self._stopping is not None:
            self._stopping.set()

    async def start(self, nats_url: str, etcd_url: str) -> None:
        """Waits until nobody else has its name, subscribes, then registers: whoever finds the service can call it, and
        what is sent to it is executed once."""
        self.nats = Nats(nats_url, f"wind-{self.kind} {self.instance}")
        await self.nats.connect()
        entry = Registration(Etcd(etcd_url), self.cluster, self._describe(), self._ttl, self._lose)
        try:
            await entry.free()
            self._switching = asyncio.Lock()
            async with self._switching:
                base = f"{self._prefix}{self.kind}."
                self._subscribe_any()
                self._subscribe("id", f"{base}id.{self.instance}", self._on_request)
                self._subscribe("all", base + "all", self._on_tell)
                self._subscribe("admin", f"{base}admin.{self.instance}", self._on_admin)
                self._answer_micro()
                await self.nats.flush()
                await entry.register()
                self._entry = entry
        except BaseException:
            await self.nats.close()
            raise
        self._spawn(self._report())
        log.info("service %s, instance %s: %s", self.kind, self.instance, ", ".join(m["name"] for m in self.methods()) or "no client handlers")

    def _lose(self, taken: Taken) -> None:
        """Takes nothing more: another process has the name, and would execute it too."""
        log.error("%s", taken)
        self.failure, self._leaving = taken, True
        self._unsubscribe()
        self.stop()

    def _unsubscribe(self) -> None:
        try:
            for number in self._subscriptions.values():
                self.nats.unsubscribe(number)
        except NatsError as e:
            log.warning("leaving: %s", e)
        self._subscriptions.clear()

    async def leave(self) -> None:
        """Says that it drains, leaves the directory, finishes what runs, and disconnects."""
        self._leaving = True
        try:
            if self.failure is None:
                await self.drain()
        except (NatsError, EtcdError, asyncio.TimeoutError) as e:
            log.warning("draining: %s", e)
        if self._entry is not None:
            await self._entry.close()
        self._unsubscribe()
        try:
            await self.nats.flush()  # what was sent to us by now is in flight
        except (NatsError, asyncio.TimeoutError) as e:
            log.warning("leaving: %s", e)
        if self._running:
            _, late = await asyncio.wait(set(self._running), timeout=self._drain)
            if late:
                log.warning("%d requests are given up after %g s", len(late), self._drain)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self.nats.flush()
        except (NatsError, asyncio.TimeoutError):
            pass
        await self.nats.close()

    async def drain(self) -> None:
        """Gets nobody new from now on, and goes on serving whom it has."""
        async with self._switching:
            await self._enter("draining")
            number = self._subscriptions.pop("any", 0)
            if number:
                self.nats.unsubscribe(number)
                await self.nats.flush()

    async def undrain(self) -> None:
        """Gets new players again. Raises ServiceError when it is too late: it leaves."""
        async with self._switching:
            if self._leaving:
                raise ServiceError(FAILED_PRECONDITION, f"{self.kind}/{self.instance} stops: start it again")
            if "any" not in self._subscriptions:
                self._subscribe_any()
                await self.nats.flush()
            await self._enter("up")

    async def _enter(self, state: str) -> None:
        """Tells the directory a state."""
        if self._entry is not None and self._entry.entry["state"] != state:
            self._entry.update(lambda e: e.update(state=state))
            await self._entry.flush()

    def _describe(self) -> Dict[str, Any]:
        entry: Dict[str, Any] = {
            "type": self.kind, "id": self.instance, "node": self.instance, "state": "up", "players": 0, "capacity": self._capacity,
            "load": 0, "methods": self.methods(), "language": "python", "since": self._started.isoformat().replace("+00:00", "Z"),
        }
        if self._selector:
            entry["selector"] = self._selector
        if not self.codec.protobuf:
            entry["formats"] = ["json"]
        return entry

    async def _report(self) -> None:
        """Tells the directory each second how many players there are, and the load."""
        while True:
            await asyncio.sleep(1)
            players = self.players()
            load = 0.0
            if self._load is not None:
                try:
                    load = round(min(1.0, max(0.0, float(self._load()))), 3)
                except Exception:
                    log.exception("the load cannot be told")
            if self._entry is not None and (self._entry.entry["players"], self._entry.entry["load"]) != (players, load):
                self._entry.update(lambda e: e.update(players=players, load=load))

    def players(self) -> int:
        """How many players have asked for something in the last minute."""
        since = time.monotonic() - SEEN_FOR
        for player in [p for p, at in self._seen.items() if at < since]:
            del self._seen[player]
        return len(self._seen)

    # Requests.

    def _subscribe(self, name: str, subject: str, callback: Callable[[Msg], None], queue: str = "") -> None:
        self._subscriptions[name] = self.nats.subscribe(subject, callback, queue)

    def _subscribe_any(self) -> None:
        self._subscribe("any", f"{self._prefix}{self.kind}.any", self._on_request, "any")

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _on_request(self, msg: Msg) -> None:
        self._take(msg, msg.reply)

    def _on_tell(self, msg: Msg) -> None:
        self._take(msg, "")

    def _take(self, msg: Msg, reply: str) -> None:
        """Starts a request, behind the last one of the same player."""
        self.stats.requests += 1
        if self.stats.in_flight >= MAX_IN_FLIGHT:
            self.stats.refused += 1
            self._fail(reply, ServiceError(RESOURCE_EXHAUSTED, f"{MAX_IN_FLIGHT} requests are in flight", not_begun=True))
            return
        self.stats.in_flight += 1
        key = msg.headers.get("Wind-Player") or msg.headers.get("Wind-Session", "")
        before = self._tails.get(key) if key else None
        task = self._spawn(self._handle(msg, reply, before, time.monotonic()))
        self._running.add(task)
        if key:
            self._tails[key] = task

        def finished(t: asyncio.Task[None]) -> None:
            self.stats.in_flight -= 1
            self._running.discard(t)
            if self._tails.get(key) is t:
                del self._tails[key]

        task.add_done_callback(finished)

    async def _handle(self, msg: Msg, reply: str, before: Optional[asyncio.Task[None]], taken: float) -> None:
        client = Client(self, msg.headers)
        try:
            timeout = float(msg.headers["Wind-Timeout"]) / 1000 if msg.headers.get("Wind-Timeout", "").isdigit() else DEFAULT_TIMEOUT
            until = taken + answer_within(timeout)
            if before is not None:
                await asyncio.wait({before}, timeout=max(0.0, until - time.monotonic()))
            if time.monotonic() >= until or before is not None and not before.done():
                raise ServiceError(DEADLINE_EXCEEDED, "the request waited for too long and was not begun")
            self._answer(reply, *(await self._call(client, msg, until - time.monotonic())))
        except ServiceError as e:
            self._fail(reply, client.told(e))
        except asyncio.CancelledError:
            self._fail(reply, client.told(ServiceError(UNAVAILABLE, "the service stops")))
            raise
        except Exception as e:
            log.exception("the handler of %s failed", msg.headers.get("Wind-Message", "?"))
            self.stats.last_error = f"{type(e).__name__}: {e}"
            self._fail(reply, client.told(ServiceError(INTERNAL, "internal error")))
        if before is not None and not before.done():
            await asyncio.wait({before})  # what is behind this one waits for both

    async def _call(self, client: Client, msg: Msg, left: float) -> Tuple[bytes, Dict[str, str]]:
        """Finds the handler, lets it run and returns the answer's payload and headers."""
        h = msg.headers
        name, form = h.get("Wind-Message", ""), h.get("Wind-Format", "protobuf")
        handler = self._handlers[client.session != ""].get(name)
        gone = name == DISCONNECTED and not client.session
        if gone:  # a gateway says so; a handler for it, among the server handlers, is optional
            self._seen.pop(client.player, None)
            if handler is None:
                return b"", {}
        if handler is None:
            who = "clients" if client.session else "services"
            if name in self._handlers[not client.session]:
                takes = "services" if client.session else "players"
                raise ServiceError(UNIMPLEMENTED, f"{self.kind} handles {name} for {takes} only, and this came from {who}")
            raise ServiceError(UNIMPLEMENTED, f"{self.kind} has no handler for {name[:128]!r} from {who}")
        if client.session and not client.player and name not in self._public and name not in self._login:
            raise ServiceError(UNAUTHENTICATED, f"{name} is for players who are logged in")
        if client.player and not gone:
            self._seen[client.player] = time.monotonic()
        try:
            request = self.codec.decode(name, form, msg.data)
        except CodecError as e:
            raise ServiceError(INVALID_ARGUMENT, str(e)) from None
        began = time.monotonic()
        client.begin()
        try:
            answer = await asyncio.wait_for(handler(client, request), left)
        except asyncio.TimeoutError:
            raise ServiceError(DEADLINE_EXCEEDED, f"{name} took too long") from None
        finally:
            self.stats.seconds += time.monotonic() - began
        headers = {"Wind-Player": client.logged_in} if client.logged_in else {}
        expected = self.codec.answers.get(name)
        if answer is None and not expected:
            return b"", headers
        if answer is None or not expected:
            raise TypeError(f"{PREFIX}{name} returned {type(answer).__name__}, and its answer is {expected or 'nothing'}")
        headers["Wind-Message"] = expected
        if form == "json":
            headers["Wind-Format"] = "json"
        return self.codec.encode(expected, form, answer), headers

    def _answer(self, reply: str, payload: bytes, headers: Dict[str, str]) -> None:
        if not reply:
            return
        try:
            self.nats.publish(reply, payload, headers)
        except Disconnected as e:
            log.warning("an answer is lost: %s", e)
        except NatsError as e:
            self._fail(reply, ServiceError(INTERNAL, f"the answer cannot be sent: {e}", maybe=True))

    def _fail(self, reply: str, e: ServiceError) -> None:
        self.stats.failed += 1
        if not reply:
            return
        headers = {"Nats-Service-Error-Code": str(e.code), "Nats-Service-Error": _line(e.text)}
        if e.maybe:
            headers["Wind-Maybe"] = "1"
        elif e.not_begun:
            headers["Wind-Not-Begun"] = "1"
        try:
            self.nats.publish(reply, b"", headers)
        except NatsError as lost:
            log.warning("an answer is lost: %s", lost)

    # What handlers call.

    async def call(self, kind: str, message: str, fields: Dict[str, Any], *, instance: str = "", timeout: float = DEFAULT_TIMEOUT) -> Dict[str, Any]:
        """Asks another service, any instance of it or one, and returns the answer. Raises ServiceError."""
        try:
            name, answer = await self._ask(kind, message, fields, instance, timeout)
        except ServiceError as e:
            if e.maybe:
                effect()
            raise
        effect()
        if not name:
            return {}
        try:
            return self.codec.decode(name, answer.headers.get("Wind-Format", "protobuf"), answer.data, strict=False)
        except CodecError as e:
            raise ServiceError(INTERNAL, str(e), maybe=True) from None

    async def _ask(self, kind: str, message: str, fields: Dict[str, Any], instance: str, timeout: float) -> Tuple[str, Msg]:
        """Sends a request and returns the name and the message of its answer, or raises the ServiceError that it is."""
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
        """Sends a message to any instance of a service, one, or all of them, and waits for nothing."""
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

    # Operators.

    def _on_admin(self, msg: Msg) -> None:
        self._spawn(self._admin(msg))

    async def _admin(self, msg: Msg) -> None:
        answer: Dict[str, Any] = {"ok": True, "instance": self.instance}
        headers: Dict[str, str] = {}
        try:
            answer.update(await self._operate(msg.data))
        except ServiceError as e:
            answer.update(ok=False, code=e.code, error=e.text)
            headers = {"Nats-Service-Error-Code": str(e.code), "Nats-Service-Error": _line(e.text)}
        if msg.reply:
            try:
                self.nats.publish(msg.reply, json.dumps(answer).encode(), headers)
            except NatsError as e:
                log.warning("an admin answer is lost: %s", e)

    async def _operate(self, body: bytes) -> Dict[str, Any]:
        try:
            op = json.loads(body)["op"]
        except (ValueError, KeyError, TypeError):
            raise ServiceError(INVALID_ARGUMENT, 'an admin request is a JSON object with "op"') from None
        if op in ("drain", "undrain"):
            try:
                await (self.drain() if op == "drain" else self.undrain())
            except (NatsError, EtcdError, asyncio.TimeoutError) as e:
                raise ServiceError(UNAVAILABLE, f"not {op}ed: {e}") from None
            return {}
        if op == "stop":
            asyncio.get_running_loop().call_soon(self.stop)  # behind the answer
            return {}
        if op == "stats":
            s = self.stats
            return {
                "service": {"in_flight": s.in_flight, "handled": s.requests - s.in_flight, "failed": s.failed, "players": self.players()},
                "bus": {"in_flight": s.in_flight, "requests": s.requests, "refused": s.refused, "failed": s.failed},
            }
        if op == "scripts":
            return {"scripts": {}}
        if op in ("prepare", "commit", "abort"):
            raise ServiceError(FAILED_PRECONDITION, "a Python service has no scripts: restart it with its new code")
        raise ServiceError(UNIMPLEMENTED, f"there is no operation {op!r}: drain, undrain, stop, stats and scripts")

    # NATS micro: what `nats micro ls`, `info` and `stats` ask.

    def _answer_micro(self) -> None:
        name = f"wind-{self.kind}"
        for verb, describe in (("PING", self._ping), ("INFO", self._info), ("STATS", self._micro_stats)):
            for of in ("", f".{name}", f".{name}.{self._id}"):
                def answer(msg: Msg, describe: Callable[[], Dict[str, Any]] = describe) -> None:
                    if msg.reply:
                        self.nats.publish(msg.reply, json.dumps(describe()).encode())
                self._subscribe(f"micro {verb}{of}", f"$SRV.{verb}{of}", answer)

    def _micro(self, kind: str) -> Dict[str, Any]:
        meta = {"cluster": self.cluster, "type": self.kind, "instance": self.instance, "language": "python"}
        return {"type": MICRO + kind, "name": f"wind-{self.kind}", "id": self._id, "version": self.version, "metadata": meta}

    def _ping(self) -> Dict[str, Any]:
        return self._micro("ping_response")

    def _endpoints(self) -> List[Dict[str, Any]]:
        base = f"{self._prefix}{self.kind}."
        found = {"any": base + "any", "id": f"{base}id.{self.instance}", "all": base + "all", "admin": f"{base}admin.{self.instance}"}
        return [
            {"name": n, "subject": s, "queue_group": "any" if n == "any" else "", "metadata": None}
            for n, s in found.items() if n in self._subscriptions
        ]

    def _info(self) -> Dict[str, Any]:
        about = f"instance {self.instance} of the Wind service {self.kind}"
        return {**self._micro("info_response"), "description": about, "endpoints": self._endpoints()}

    def _micro_stats(self) -> Dict[str, Any]:
        s = self.stats
        endpoints = self._endpoints()
        for k, e in enumerate(endpoints):
            del e["metadata"]
            mine = k == 0  # all requests are counted in one place
            nanos = int(s.seconds * 1e9) if mine else 0
            n = s.requests if mine else 0
            e.update(
                num_requests=n, num_errors=s.failed if mine else 0, last_error=s.last_error if mine else "",
                processing_time=nanos, average_processing_time=nanos // n if n else 0,
            )
        return {**self._micro("stats_response"), "started": self._started.isoformat().replace("+00:00", "Z"), "endpoints": endpoints}


def _line(text: str) -> str:
    """A text as a header can have it."""
    return "".join(" " if c < " " or "\x7f" <= c < "\xa0" else c for c in text)[:1024].strip()
