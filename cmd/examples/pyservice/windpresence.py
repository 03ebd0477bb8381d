"""What works on while a handler holds the service's event loop: a second loop, on a thread of its own.

It receives the requests and hands them to the service's loop, keeps the entry in the directory, answers operators, and
notices a handler that does not return. While one hangs, the entry says so, other instances get the requests that any of
them may answer, and requests that wait past their deadline are answered as not begun. Services in Go do the same.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections import OrderedDict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable, Coroutine, Dict, List, Optional, Set, Tuple

from windetcd import Etcd, EtcdError, Registration, Taken
from windnats import Msg, Nats, NatsError
from windoperator import Operator
from windrequest import DEADLINE_EXCEEDED, FAILED_PRECONDITION, RESOURCE_EXHAUSTED, ServiceError, deadline

if TYPE_CHECKING:
    from windservice import Service

log = logging.getLogger("windservice")

MAX_IN_FLIGHT = 10_000  # requests accepted and not answered; the service refuses more
EXPIRE_EVERY = 0.025  # seconds between two looks at the requests that wait for the service's loop
LOOK_EVERY = 0.25  # seconds between two looks at the service's loop
STALL_AFTER = 2.0  # seconds for which a handler may hold the loop, or go on after its cancellation, before it counts as hung

WAYS_OUT = {
    "hung": "nobody is served until it ends; if it does not, stop the process, which loses nothing committed, and mend what the message names",
    "waiting-for-nats": "check that NATS runs and that --nats names it; this instance continues unaided once it answers",
    "waiting-for-etcd": "check that etcd runs and that --etcd names it; this instance continues unaided once it answers",
}


def clock(at: float) -> str:
    """Returns a time of time.time() as the directory and the log have it."""
    return time.strftime("%H:%M:%S", time.localtime(at))


class Presence:
    """An instance as others see it. Its coroutines run on its own loop: `do` runs them from the service's."""

    def __init__(self, service: "Service") -> None:
        self._service = service
        self._handed: OrderedDict[int, Tuple[Msg, str, float, float]] = OrderedDict()  # requests that the service's loop has not taken
        self._number, self._woken = 0, False
        self._blocked = ""  # what holds the service's loop
        self._told = ""  # what the entry says
        self.here = False  # it is registered
        self._away: Dict[str, float] = {}  # server → when it was lost, in time.time()
        self._since = 0.0
        self._tasks: Set[asyncio.Task[None]] = set()
        self._service_thread = threading.get_ident()  # it makes its presence
        self.subscriptions: Dict[str, int] = {}
        self.operator = Operator(service, self)
        self.loop = asyncio.new_event_loop()
        self.nats: Any = None  # a Nats, once open
        self.entry: Optional[Registration] = None
        self._switching: asyncio.Lock  # one change of the share at a time
        self._thread = threading.Thread(target=self._run, name="wind", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    async def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine on this loop and returns its result to the caller's."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    async def close(self) -> None:
        """Ends the loop and its thread."""
        await self.do(self._end_tasks())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(1)
        if not self._thread.is_alive():
            self.loop.close()

    async def _end_tasks(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.loop.shutdown_default_executor()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts a task on this loop, from this loop."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Coming and going.

    async def open(self, nats_url: str, etcd_url: str, ttl: int) -> None:
        """Connects, and waits until the instance's name is free."""
        s = self._service
        self._switching = asyncio.Lock()
        self.nats = Nats(nats_url, f"wind-{s.kind} {s.instance} requests")
        await self.nats.connect()
        self.entry = Registration(Etcd(etcd_url), s.cluster, s.describe(), ttl, self._lose)
        await self.entry.free()
        await self.entry.distinct()

    async def enter(self) -> None:
        """Subscribes, then registers. So a registered instance can be called, and only one process executes what is sent to
        its name."""
        assert self.entry is not None
        async with self._switching:
            s = self._service
            self._subscribe_any()
            self.subscribe("id", s.subjects["id"], self._on_request)
            self.subscribe("all", s.subjects["all"], self._on_tell)
            self.subscribe("admin", s.subjects["admin"], self.operator.on_admin)
            self.operator.serve_micro()
            await self.nats.flush()
            self.nats.check()
            await self.entry.register()
        self.here = True
        self.spawn(self._watch())
        self.spawn(self._expire())
        self.spawn(self._report())

    async def leave(self) -> None:
        """Leaves the directory, then NATS. Requests that have arrived are handed over first."""
        self.here = False
        if self.entry is not None:
            await self.entry.close()
        await self.deafen()
        await self.nats.close()

    async def give_up(self) -> None:
        """Disconnects after an attempt to come that failed."""
        if self.nats is not None:
            await self.nats.close()

    async def deafen(self) -> None:
        """Unsubscribes, and hands over what has arrived."""
        try:
            for number in self.subscriptions.values():
                self.nats.unsubscribe(number)
            self.subscriptions.clear()
            await self.nats.flush()
        except (NatsError, asyncio.TimeoutError) as e:
            log.warning("cannot leave in order: %s", e)

    def _lose(self, taken: Taken) -> None:
        """Stops taking requests: another process has the name and would execute them too."""
        log.error("%s", taken)
        self._service.failure = taken
        self.spawn(self.deafen())
        self._service.told_to_stop()

    def subscribe(self, name: str, subject: str, callback: Callable[[Msg], None], queue: str = "") -> None:
        self.subscriptions[name] = self.nats.subscribe(subject, callback, queue)

    def _subscribe_any(self) -> None:
        self.subscribe("any", self._service.subjects["any"], self._on_request, "any")

    async def drain(self) -> None:
        """Stops getting new players, and keeps serving those it has."""
        await self._state("draining")
        await self._share()

    async def undrain(self) -> None:
        """Gets new players again. Raises ServiceError if the service is already leaving."""
        s = self._service
        if s.leaving:
            raise ServiceError(FAILED_PRECONDITION, f"{s.kind}/{s.instance} stops: start it again")
        await self._state("up")
        await self._share()

    async def _state(self, state: str) -> None:
        """Writes a state to the directory."""
        if self.entry is not None and self.entry.entry["state"] != state:
            self.entry.update(lambda e: e.update(state=state))
            await self.entry.flush()

    async def _share(self) -> None:
        """Answers its share of the requests that any instance may answer, unless it drains or hangs: then others do."""
        assert self.entry is not None
        async with self._switching:
            wants = self.entry.entry["state"] == "up" and not self._told
            if wants == ("any" in self.subscriptions) or not self.subscriptions:
                return
            if wants:
                self._subscribe_any()
            else:
                self.nats.unsubscribe(self.subscriptions.pop("any"))
            await self.nats.flush()

    def catch_signals(self) -> Callable[[], None]:
        """Lets SIGTERM and SIGINT stop the service, also while a handler holds the main thread. Returns what undoes it."""
        told = self._service.told_to_stop

        def handle(*_: Any) -> None:
            told()

        try:
            before = {n: signal.signal(n, handle) for n in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:
            return lambda: None  # not the main thread
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        fd = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)

        def heard() -> None:
            if any(n in before for n in ours.recv(64)):
                told()

        self.loop.call_soon_threadsafe(self.loop.add_reader, ours, heard)

        def release() -> None:  # another service of the process may have come meanwhile
            now = signal.set_wakeup_fd(-1)
            try:
                signal.set_wakeup_fd(fd if now == theirs.fileno() else now)
            except (OSError, ValueError):
                pass  # that of a service that has ended
            for n, handler in before.items():
                if signal.getsignal(n) is handle:
                    signal.signal(n, handler)
            ours.close()
            theirs.close()

        return release

    # Requests.

    def _on_request(self, msg: Msg) -> None:
        self._hand(msg, msg.reply)

    def _on_tell(self, msg: Msg) -> None:
        self._hand(msg, "")

    def _hand(self, msg: Msg, reply: str) -> None:
        """Hands a request to the service's loop."""
        if len(self._handed) >= MAX_IN_FLIGHT:
            self._refuse(reply, ServiceError(RESOURCE_EXHAUSTED, f"{MAX_IN_FLIGHT} requests are in flight", not_begun=True))
            return
        now = time.monotonic()
        self._number += 1
        self._handed[self._number] = (msg, reply, now, deadline(now, msg.headers))
        if not self._woken:
            self._woken = True
            self._service.on_loop(self._take)

    def _take(self) -> None:
        """Takes what was handed over. It runs on the service's loop."""
        self._woken = False
        while True:
            try:
                _, (msg, reply, taken, _) = self._handed.popitem(last=False)
            except KeyError:
                return
            self._service.take(msg, reply, taken)

    async def _expire(self) -> None:
        """Answers the requests that wait for the service's loop until their deadline. They never begin."""
        while True:
            await asyncio.sleep(EXPIRE_EVERY)
            self._end_late(time.monotonic())

    def _end_late(self, now: float) -> None:
        for number, (_, reply, _, until) in list(self._handed.items()):
            if until <= now and self._handed.pop(number, None) is not None:
                self._refuse(reply, ServiceError(DEADLINE_EXCEEDED, "the request waited for too long and was not begun", not_begun=True))

    def _refuse(self, reply: str, e: ServiceError) -> None:
        self._service.stats.requests += 1
        self._service.stats.refused += 1
        self._service.fail(reply, e, self.nats)

    # Watching.

    async def _watch(self) -> None:
        beats, still = self._service.beats, 0  # counted in looks: a process that was stopped as a whole has not hung
        while True:
            await asyncio.sleep(LOOK_EVERY)
            still = still + 1 if self._service.beats == beats else 0
            beats = self._service.beats
            if still * LOOK_EVERY < STALL_AFTER:
                self._blocked = ""
            elif not self._blocked:
                self._blocked = self._holder(time.time() - still * LOOK_EVERY)
            self._look_at_servers()
            await self._tell()

    def _holder(self, since: float) -> str:
        """Describes the handler that holds the service's loop, and logs where it is."""
        message, player = "a task", ""
        frame = sys._current_frames().get(self._service_thread)
        place = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}" if frame is not None else "an unknown place"
        while frame is not None:
            if frame.f_code is self._service.handler_code:
                client = frame.f_locals.get("client")
                message, player = getattr(client, "message", message), getattr(client, "player", "")
                break
            frame = frame.f_back
        text = f"the handler of {message[:80]} has held the thread of the service since {clock(since)}" + _of(player)
        log.error("a handler hangs: %s, at %s", text, place)
        return text + ": no other request is served until it returns"

    def _look_at_servers(self) -> None:
        """Notes when a server was lost. A reconnection may take a moment."""
        lost = {
            "waiting-for-nats": not self.nats.connected or not self._service.nats.connected or bool(self.nats.refused),
            "waiting-for-etcd": self.entry is not None and self.entry.failing,
        }
        for kind, is_lost in lost.items():
            if is_lost:
                self._away.setdefault(kind, time.time())
            else:
                self._away.pop(kind, None)

    def conditions(self) -> List[Dict[str, Any]]:
        """Returns what is wrong, in the form of /healthz."""
        found = []
        for kind, server in (("waiting-for-nats", "NATS"), ("waiting-for-etcd", "etcd")):
            since = self._away.get(kind)
            if since is not None and time.time() - since >= STALL_AFTER:
                why = f"{server} has not answered this instance since {clock(since)}"
                if server == "NATS" and self.nats.connected and self.nats.refused:
                    why = self.nats.refusal()
                found.append((kind, why, since))
        for hung in self.hangs()[:1]:
            found.append(("hung", f"service {self._service.kind}, instance {self._service.instance}: {hung}", self._since or time.time()))
        return [
            {"kind": kind, "text": f"{text}: {WAYS_OUT[kind]}", "since": datetime.fromtimestamp(at, timezone.utc).isoformat().replace("+00:00", "Z"), "stops": True}
            for kind, text, at in found
        ]

    def hangs(self) -> List[str]:
        """Describes the handlers that do not return."""
        return [*filter(None, [self._blocked]), *self._service.stuck.values()]

    def handed(self) -> int:
        """Returns how many requests the service's loop has not taken."""
        return len(self._handed)

    @property
    def stalled(self) -> float:
        """How long something has hung, in seconds; 0 unless something hangs."""
        return time.time() - self._since if self._since and self._told else 0.0

    async def _tell(self) -> None:
        """Tells the directory what keeps the instance from answering, and lets others take over."""
        deaf = [c["text"] for c in self.conditions() if c["kind"] == "waiting-for-nats"]
        hung = next(iter(self.hangs() + deaf), "")
        if hung != self._told and self.entry is not None:
            if not self._told:
                self._since = time.time()
            elif not hung:
                log.warning("the instance answers again; what had kept it from answering: %s", self._told)
                self._since = 0.0
            self._told = hung
            self.entry.update(lambda e: e.update(hung=hung) if hung else e.pop("hung", None))
        try:
            await self._share()
        except (NatsError, asyncio.TimeoutError) as e:
            log.debug("cannot join or leave the queue of requests that any instance may answer: %s", e)

    async def _report(self) -> None:
        """Reports the number of players and the load to the directory every second. Gateways count the players who are bound
        to the instance; without a gateway, those who have sent a request lately count."""
        assert self.entry is not None
        while True:
            await asyncio.sleep(1)
            try:
                bound = await self.entry.bound()
            except EtcdError:
                continue  # _keep logs it
            now = {"players": self._service.players() if bound is None else bound, "load": self._service.load}
            if self.entry is not None and any(self.entry.entry[k] != v for k, v in now.items()):
                self.entry.update(lambda e: e.update(now))


class LastResort:
    """Ends the process if it was told to stop and does not."""

    def __init__(self, service: "Service") -> None:
        self._service = service
        self._timer: Optional[threading.Timer] = None
        self._over = False

    def arm(self, within: float) -> None:
        """Ends the process after this many seconds. The first call counts."""
        if self._timer is None and not self._over:
            self._timer = threading.Timer(within, self.end)
            self._timer.daemon = True
            self._timer.start()

    def disarm(self) -> None:
        """Lets the process live."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def end(self) -> None:
        """Removes the entry, as far as etcd answers, and ends the process."""
        p = self._service.presence
        log.error("the process ends although it has not finished: %s", "; ".join(p.hangs()) or "a thread does not end")
        try:
            if p.entry is not None and not p.loop.is_closed():
                asyncio.run_coroutine_threadsafe(p.entry.close(), p.loop).result(3)
        except Exception:  # the entry expires with its lease
            pass
        logging.shutdown()
        os._exit(1)


def _of(player: str) -> str:
    return f' with a request of "{player[:40]}"' if player else ""


def ignores(message: str, player: str) -> str:
    """Describes a handler that goes on after its cancellation."""
    return (
        f"the handler of {message[:80]} goes on after it was canceled at {clock(time.time())}" + _of(player)
        + ": no other request of its player is served until it returns"
    )
