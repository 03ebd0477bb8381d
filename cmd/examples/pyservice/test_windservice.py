"""Tests of the service library."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import types
import unittest
from typing import Any, Dict, List

import windservice as ws
from test_windcodec import messages
from windetcd import Etcd, EtcdError, Taken, _b64
from livetest import ETCD, LONG, NATS, Live, Proxy, is_
from windnats import Disconnected, Msg, Nats, NatsError, NoResponders


class LiveTest(Live):
    async def test_a_player_is_answered(self) -> None:
        for to in ("any", "id.test-1"):
            msg = await self.ask("EchoRequest", {"text": "hi", "number": 7}, to, player="Ζωή", session="gw/1", Wind_From="gateway/gw")
            self.assertEqual(msg.headers, {"Wind-Message": "EchoResponse", "Wind-Format": "json"})
            self.assertEqual(json.loads(msg.data), {"text": "Ζωή|gw/1|gateway/gw|hi", "number": 7})
        self.assertEqual(self.service.players(), 1)
        await self.eventually(self._one_player)

    async def _one_player(self) -> bool:
        return ((await self.entry()) or {}).get("players") == 1

    async def test_it_is_in_the_directory(self) -> None:
        entry = await self.entry()
        assert entry is not None
        self.assertEqual((entry["type"], entry["id"], entry["state"], entry["language"], entry["formats"]), ("test", "test-1", "up", "python", ["json"]))
        self.assertEqual(entry["methods"], [
            {"name": "EchoRequest", "id": 3001, "answer": 3002}, {"name": "EnterRequest", "id": 3005, "answer": 3006, "login": True},
            {"name": "WaveRequest", "id": 3003},
        ])

    async def test_a_login_names_the_player(self) -> None:
        msg = await self.ask("EnterRequest", {"name": "alice"}, session="gw/1")
        self.assertEqual(msg.headers.get("Wind-Player"), "alice")
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        for name in ("", "x" * 129, "a\nb"):
            await self.refused(ws.INTERNAL, "EnterRequest", {"name": name}, session="gw/1")

    async def test_an_id_means_one_message(self) -> None:
        lease = await self.etcd.grant(60)
        entry = {"type": "anvil", "id": "anvil-1", "methods": [{"name": "Other", "id": 1}, {"name": "DropRequest", "id": 3001}, 7, {"id": []}]}
        await self.etcd.create(f"/wind/{self.cluster}/services/anvil/anvil-1", json.dumps(entry), lease)
        await self.etcd.create(f"/wind/{self.cluster}/services/anvil/anvil-2", "[]", lease)
        other, _ = self.make("test-2")
        with self.assertRaises(EtcdError) as refused:
            await other.start(NATS, ETCD)
        self.assertEqual(str(refused.exception), "EchoRequest has the id 3001, which DropRequest of service anvil (instance anvil-1) has already: give it another id")
        await self.etcd.revoke(lease)

    async def test_pushes_go_to_one_and_to_all(self) -> None:
        got: List[Msg] = []
        self.nats.subscribe(f"windrpc.{self.cluster}.player.YWxpY2U", got.append)
        self.nats.subscribe(f"windrpc.{self.cluster}.players", got.append)
        await self.nats.flush()
        msg = await self.ask("WaveRequest", {}, player="alice", session="gw/1")
        self.assertEqual((msg.data, msg.headers), (b"", {}))
        await self.nats.flush()
        self.assertEqual([(m.headers, json.loads(m.data)["who"]) for m in got],
                         [({"Wind-Message": "Waved", "Wind-Id": "3004", "Wind-Format": "json"}, who) for who in ("alice", "all")])

    async def test_what_cannot_be_done_has_its_code(self) -> None:
        player: Dict[str, Any] = {"player": "alice", "session": "gw/1"}
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        await self.refused(ws.UNIMPLEMENTED, "NoSuchRequest", {}, **player)
        server = await self.refused(ws.UNIMPLEMENTED, "S_AddRequest", {"number": 1}, **player)  # a client never reaches it
        self.assertEqual(server.headers["Nats-Service-Error"], "test handles S_AddRequest for services only, and this request came from clients")
        clients = await self.refused(ws.UNIMPLEMENTED, "EchoRequest", {})  # nor does a service reach a client handler
        self.assertEqual(clients.headers["Nats-Service-Error"], "test handles EchoRequest for players only, and this request came from services")
        unknown = await self.refused(ws.INVALID_ARGUMENT, "EchoRequest", {"txt": "x"}, **player)
        self.assertEqual(unknown.headers["Nats-Service-Error"], 'unknown field "txt" of EchoRequest (did you mean text?)')
        await self.refused(ws.UNAUTHENTICATED, "EchoRequest", {}, session="gw/1")
        await self.refused(ws.INVALID_ARGUMENT, "EchoRequest", b"{", **player)
        await self.refused(ws.INVALID_ARGUMENT, "EchoRequest", {}, Wind_Format="protobuf", **player)
        await self.refused(ws.UNIMPLEMENTED, "", {}, **player)
        failed = await self.refused(ws.ALREADY_EXISTS, "EchoRequest", {"text": "fail"}, **player)
        self.assertEqual(failed.headers["Nats-Service-Error"], "there is one")
        self.assertNotIn("Wind-Maybe", failed.headers)
        for text in ("break", "nothing", "logs in"):
            broken = await self.refused(ws.INTERNAL, "EchoRequest", {"text": text}, **player)
            self.assertEqual(broken.headers["Nats-Service-Error"], "internal error")
        late = await self.refused(ws.DEADLINE_EXCEEDED, "EchoRequest", {"text": "wait"}, Wind_Timeout="100", **player)
        self.assertEqual(late.headers["Wind-Maybe"], "1")
        await self.eventually(lambda: is_(lambda: self.service.stats.in_flight == 0))

    async def test_maybe_is_said_whenever_an_effect_could_have_left(self) -> None:
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        for text, code, maybe in (
            ("fail", ws.ALREADY_EXISTS, False), ("break", ws.INTERNAL, True), ("nothing", ws.INTERNAL, True), ("a wrong answer", ws.INTERNAL, True),
            ("unavailable", ws.UNAVAILABLE, True), ("absent service", ws.UNAVAILABLE, True), ("calls, refuses", ws.NOT_FOUND, True),
            ("tells in a task, refuses", ws.NOT_FOUND, True), ("pushes, refuses", ws.NOT_FOUND, True), ("stores, and says so", ws.FAILED_PRECONDITION, True),
            ("says that it was not begun", ws.UNAVAILABLE, True), ("wait", ws.DEADLINE_EXCEEDED, True),
        ):
            with self.subTest(text):
                headers = {"Wind_Timeout": "500"} if text == "wait" else {}
                msg = await self.refused(code, "EchoRequest", {"text": text}, player="alice", session="gw/1", **headers)
                self.assertEqual((msg.headers.get("Wind-Maybe"), msg.headers.get("Wind-Not-Begun")), ("1" if maybe else None, None))

    async def test_not_begun_is_said_before_the_handler(self) -> None:
        player: Dict[str, Any] = {"player": "alice", "session": "gw/1"}
        for code, message, fields, who in (
            (ws.UNIMPLEMENTED, "NoSuchRequest", {}, player), (ws.UNAUTHENTICATED, "EchoRequest", {}, {"session": "gw/1"}),
            (ws.INVALID_ARGUMENT, "EchoRequest", b"{", player),
        ):
            msg = await self.refused(code, message, fields, **who)
            self.assertEqual((msg.headers.get("Wind-Maybe"), msg.headers.get("Wind-Not-Begun")), (None, "1"), message)
        most, ws.MAX_IN_FLIGHT = ws.MAX_IN_FLIGHT, 0
        try:
            msg = await self.refused(ws.RESOURCE_EXHAUSTED, "EchoRequest", {}, **player)
        finally:
            ws.MAX_IN_FLIGHT = most
        self.assertEqual(msg.headers.get("Wind-Not-Begun"), "1")

    async def test_stopping_says_what_was_begun(self) -> None:
        self.service._drain = 0.1
        begun = asyncio.ensure_future(self.refused(ws.UNAVAILABLE, "EchoRequest", {"text": "wait"}, player="alice", session="gw/1"))
        behind = asyncio.ensure_future(self.refused(ws.UNAVAILABLE, "EchoRequest", {"text": "hi"}, player="alice", session="gw/1"))

        async def both() -> bool:
            return self.service.stats.in_flight == 2

        await self.eventually(both)
        self.left = True
        await self.service.leave()
        self.assertEqual((await begun).headers.get("Wind-Maybe"), "1")
        self.assertEqual((await behind).headers.get("Wind-Not-Begun"), "1")

    async def test_requests_of_a_player_run_one_after_another(self) -> None:
        players = ("alice", "bob", "carol")
        asked = [self.ask("EchoRequest", {"text": "hi", "number": n}, player=p, session="gw/1") for n in range(50) for p in players]
        await asyncio.gather(*asked)
        for p in players:
            self.assertEqual(self.recorder.most[p], 1)
            self.assertEqual([o for o in self.recorder.order if o.startswith(p)], [f"{p} {n}" for n in range(50)])
        self.assertEqual(self.service._tails, {})

    async def test_one_player_does_not_hold_up_another(self) -> None:
        blocked = asyncio.ensure_future(self.ask("EchoRequest", {"text": "wait"}, player="alice", session="gw/1"))
        behind = asyncio.ensure_future(self.refused(ws.DEADLINE_EXCEEDED, "EchoRequest", {"number": 1}, player="alice", session="gw/1", Wind_Timeout="200"))
        last = asyncio.ensure_future(self.ask("EchoRequest", {"number": 3}, player="alice", session="gw/1"))
        await self.ask("EchoRequest", {"number": 2}, player="bob", session="gw/2")
        msg = await behind  # it fails while the first still runs
        self.assertFalse(blocked.done())
        self.assertEqual((msg.headers.get("Wind-Maybe"), msg.headers.get("Wind-Not-Begun")), (None, "1"))
        self.assertNotIn("alice 3", self.recorder.order)  # nor does the next one overtake
        self.recorder.gate.set()
        await blocked
        await last
        self.assertNotIn("alice 1", self.recorder.order)

    async def test_a_player_who_has_gone_counts_no_more(self) -> None:
        for payload in (b"\x0a\x05alice\x12\x04gw/1", b""):
            await self.ask("EchoRequest", {}, player="alice", session="gw/1")
            self.assertEqual(self.service.players(), 1)
            msg = await self.ask("PlayerDisconnected", payload, player="alice", Wind_Format="protobuf")
            self.assertEqual((msg.headers, self.service.players()), ({}, 0))
        gone: List[Any] = []

        async def Handler_PlayerDisconnected(caller: ws.Client, request: Dict[str, Any]) -> None:
            gone.append((caller.player, request))

        self.service.server_handler(Handler_PlayerDisconnected)
        await self.ask("PlayerDisconnected", b"\x0a\x05alice\x12\x81\x01" + b"x" * 129 + b"\x1a\x01?", player="alice", Wind_Format="protobuf")
        self.assertEqual(gone, [("alice", {"player": "alice", "session": "x" * 129})])
        for payload in (b"\x0a", b"\x0a\x05al", b"\x08\x01", b"\x0a\x01\xff", b"\x0a\xff\xff\xff"):
            await self.refused(ws.INVALID_ARGUMENT, "PlayerDisconnected", payload, player="alice", Wind_Format="protobuf")
        await self.refused(ws.UNIMPLEMENTED, "PlayerDisconnected", {}, player="alice", session="gw/1")

    async def test_services_call_each_other(self) -> None:
        other, recorder = self.make("test-2")
        await other.start(NATS, ETCD)
        try:
            self.assertEqual(await self.service.call("test", "S_AddRequest", {"number": 1}, instance="test-2"), {"sum": 2})
            self.assertEqual(recorder.order, ["add 1 of test/test-1"])
            self.service.tell("test", "S_AddRequest", {"number": 5}, everyone=True)
            await self.eventually(lambda: is_(lambda: "add 5 of test/test-1" in recorder.order and "add 5 of test/test-1" in self.recorder.order))
            for kind, instance in (("nobody", ""), ("test", "test-9")):
                with self.assertRaises(ws.ServiceError) as failed:
                    await self.service.call(kind, "S_AddRequest", {"number": 1}, instance=instance)
                self.assertEqual((failed.exception.code, failed.exception.maybe), (ws.UNAVAILABLE, False))
            with self.assertRaises(ws.ServiceError) as failed:
                await self.service.call("test", "EchoRequest", {}, instance="test-2")
            self.assertEqual(failed.exception.code, ws.UNIMPLEMENTED)
        finally:
            await other.leave()

    async def test_an_answer_is_the_message_that_was_wanted(self) -> None:
        odd = ws.Service("odd", "odd-1", types.SimpleNamespace(  # type: ignore[arg-type]
            IDS=messages.IDS, ANSWERS={**messages.ANSWERS, "S_AddRequest": "EchoResponse"}, FIELDS=messages.FIELDS,
        ), cluster=self.cluster)

        async def Handler_S_AddRequest(caller: ws.Client, request: Dict[str, Any]) -> Dict[str, Any]:
            return {"text": "x"}

        odd.server_handler(Handler_S_AddRequest)
        await odd.start(NATS, ETCD)
        try:
            with self.assertRaises(ws.ServiceError) as failed:
                await self.service.call("odd", "S_AddRequest", {"number": 1})
            self.assertEqual((failed.exception.code, failed.exception.text, failed.exception.maybe), (ws.INTERNAL, "odd answered S_AddRequest with EchoResponse, want S_AddResponse", True))
        finally:
            await odd.leave()

    async def test_calls_go_to_instances_that_answer(self) -> None:
        """Of three instances one hangs, one closes, and one drains because it is the last."""
        others = [self.make(f"test-{n}") for n in (2, 3)]
        for other, _ in others:
            await other.start(NATS, ETCD)
        try:
            entry = self.service.presence.entry
            entry.update(lambda e: e.update(hung="a handler"))
            await self.service.presence.do(entry.flush())
            await others[0][0].drain()
            others[1][0]._closed = True
            caller = others[1][0]
            for n in range(20):
                self.assertEqual(await caller.call("test", "S_AddRequest", {"number": n}), {"sum": n + 1})
            self.assertEqual((self.recorder.order, len(others[0][1].order), others[1][1].order), ([], 20, []))
        finally:
            for other, _ in others:
                await other.leave()

    async def test_a_call_to_an_instance_that_dies_ends(self) -> None:
        slow, begun, gate = ws.Service("slow", "slow-1", messages, cluster=self.cluster, ttl=1), asyncio.Event(), asyncio.Event()

        async def Handler_S_AddRequest(caller: ws.Client, request: Dict[str, Any]) -> Dict[str, Any]:
            begun.set()
            await gate.wait()
            return {"sum": 1}

        slow.server_handler(Handler_S_AddRequest)
        await slow.start(NATS, ETCD)
        try:
            for instance in ("", "slow-1"):
                begun.clear()
                calling = asyncio.ensure_future(self.service.call("slow", "S_AddRequest", {}, instance=instance, timeout=600))
                await begun.wait()
                if not instance:
                    gate.set()  # while it lives, an answer may take as long as it likes
                    self.assertEqual(await calling, {"sum": 1})
                    gate.clear()
            await slow.presence.do(slow.presence.entry.close())  # as if its process stood still
            with self.assertRaises(ws.ServiceError) as failed:
                await asyncio.wait_for(calling, LONG)
            self.assertEqual((failed.exception.code, failed.exception.text, failed.exception.maybe), (ws.UNAVAILABLE, "slow/slow-1 went away", True))
        finally:
            gate.set()
            await slow.leave()

    async def test_micro_knows_it(self) -> None:
        for of in ("", ".wind-test", f".wind-test.{self.service.presence.operator.id}"):
            for verb in ("PING", "INFO", "STATS"):
                found: List[Dict[str, Any]] = []
                inbox = f"_INBOX.micro{of}.{verb}"
                self.nats.subscribe(inbox, lambda m: found.append(json.loads(m.data)))
                self.nats.publish(f"$SRV.{verb}{of}", reply=inbox)
                await self.eventually(lambda: is_(lambda: any(f["id"] == self.service.presence.operator.id for f in found)))
                one = next(f for f in found if f["id"] == self.service.presence.operator.id)
                self.assertEqual((one["type"], one["name"]), (f"io.nats.micro.v1.{verb.lower()}_response", "wind-test"))
                self.assertEqual({k: one["metadata"][k] for k in ("cluster", "type", "instance")}, {"cluster": self.cluster, "type": "test", "instance": "test-1"})
                if verb != "PING":
                    self.assertEqual([e["name"] for e in one["endpoints"]], ["any", "id", "all", "admin"])

    async def test_operators_are_answered(self) -> None:
        async def admin(body: Any) -> Dict[str, Any]:
            msg = await self.nats.request(f"windrpc.{self.cluster}.test.admin.test-1", json.dumps(body).encode(), timeout=LONG)
            answer = json.loads(msg.data)
            self.assertEqual(answer["instance"], "test-1")
            self.assertEqual("Nats-Service-Error-Code" in msg.headers, not answer["ok"])
            return answer

        await self.ask("EchoRequest", {}, player="alice", session="gw/1")
        self.assertEqual((await admin({"op": "stats"}))["service"], {"in_flight": 0, "handled": 1, "failed": 0, "players": 1})
        prepared = await admin({"op": "prepare", "reload": "1", "modules": []})
        self.assertIn("a Python service has no scripts", prepared["error"])
        self.assertEqual((await admin({"op": "scripts"}))["scripts"], {})
        for wrong in ({"op": "dance"}, [], {}, "x"):
            self.assertFalse((await admin(wrong))["ok"])
        for _ in range(2):
            self.assertTrue((await admin({"op": "drain"}))["ok"])
        entry = await self.entry()
        assert entry is not None
        self.assertEqual(entry["state"], "draining")
        await self.ask("EchoRequest", {}, player="alice", session="gw/1")  # it keeps serving its players
        with self.assertRaises(NoResponders):
            await self.ask("EchoRequest", {}, "any", player="alice", session="gw/1")
        for _ in range(2):
            self.assertTrue((await admin({"op": "undrain"}))["ok"])
        entry = await self.entry()
        assert entry is not None
        self.assertEqual(entry["state"], "up")
        for _ in range(3):
            self.recorder.order.clear()
            await self.ask("EchoRequest", {}, "any", player="bob", session="gw/2")
            self.assertEqual(self.recorder.order, ["bob 0"])
        both = await asyncio.gather(admin({"op": "drain"}), admin({"op": "undrain"}))  # one after the other
        self.assertTrue(both[0]["ok"] and both[1]["ok"])
        entry = await self.entry()
        assert entry is not None
        self.assertEqual(entry["state"] == "up", "any" in self.service.presence.subscriptions)
        self.service.leaving = True
        self.assertIn("stops", (await admin({"op": "undrain"}))["error"])
        self.service.leaving = False
        self.assertFalse(self.service._stopped)
        self.assertTrue((await admin({"op": "stop"}))["ok"])  # the request of wind stop, answered before the instance ends
        await self.eventually(lambda: is_(lambda: self.service._stopped))

    async def test_leaving_finishes_what_runs(self) -> None:
        running = asyncio.ensure_future(self.ask("EchoRequest", {"text": "wait", "number": 4}, player="alice", session="gw/1"))
        await self.eventually(lambda: is_(lambda: self.recorder.running.get("alice") == 1))
        leaving = asyncio.ensure_future(self.service.leave())
        self.left = True

        async def refuses() -> bool:  # an instance without a subscription would not answer
            msg = await self.ask("EchoRequest", {"number": 5}, player="bob", session="gw/2")
            if "Nats-Service-Error-Code" not in msg.headers:
                return False  # it has only begun to leave
            h = msg.headers
            self.assertEqual((h["Nats-Service-Error-Code"], h.get("Wind-Not-Begun"), h["Nats-Service-Error"]), ("14", "1", "service test/test-1 is closing"))
            return True

        await self.eventually(refuses)
        for _ in range(20):  # gateways expect answers from an instance while it is in the directory
            await refuses()
            self.assertEqual(((await self.entry()) or {}).get("state"), "draining")
        self.assertFalse(running.done() or leaving.done())
        with self.assertRaises(NoResponders):
            await self.ask("EchoRequest", {}, "any", player="bob", session="gw/2")
        self.recorder.gate.set()
        self.assertEqual(json.loads((await running).data)["number"], 4)
        await leaving
        self.assertIsNone(await self.entry())
        with self.assertRaises(NoResponders):
            await self.ask("EchoRequest", {}, player="alice", session="gw/1")

    async def test_a_lost_lease_is_replaced(self) -> None:
        assert self.service.presence.entry is not None
        first = self.service.presence.entry._lease
        await self.etcd.revoke(first)
        self.assertIsNone(await self.entry())

        async def back() -> bool:
            return await self.entry() is not None

        await self.eventually(back)
        self.assertNotEqual(self.service.presence.entry._lease, first)

    async def test_a_second_of_the_same_name_does_not_start(self) -> None:
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        other, recorder = self.make("test-1")
        starting = asyncio.ensure_future(other.start(NATS, ETCD))
        asked = 0
        while not starting.done():
            await self.ask("EchoRequest", {"number": asked}, player="alice", session="gw/1")
            await self.ask("EchoRequest", {"number": asked}, "any", player="alice", session="gw/1")
            asked += 1
            await asyncio.sleep(0.05)
        with self.assertRaisesRegex(Taken, "instance test-1 of service test already runs on node test-1 since 20.*: give this one another id"):
            await starting
        self.assertEqual((len(self.recorder.order), recorder.order), (2 * asked, []))
        assert self.service.presence.entry is not None
        self.assertEqual(json.loads((await self.etcd.get(self.service.presence.entry.key)) or "{}")["since"], self.service.presence.entry.entry["since"])

    async def test_signals_go_back_to_who_had_them(self) -> None:
        """Whichever of two services of a process ends first."""
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        before = signal.getsignal(signal.SIGTERM)
        self.addCleanup(signal.signal, signal.SIGTERM, before)
        for order in ((0, 1), (1, 0)):
            services = [self.make(f"test-{n}")[0] for n in (2, 3)]
            runs = []
            for s in services:
                runs.append(asyncio.ensure_future(s.run(NATS, ETCD)))
                await self.eventually(lambda: is_(lambda: s.presence is not None and s.presence.here))
            for n in order:
                services[n].stop()
                await runs[n]
            fd = signal.set_wakeup_fd(-1)
            self.assertEqual(fd, -1)
            for s in services:
                s.told_to_stop()  # a late signal does not end the process
                assert s._last is not None
                self.assertTrue(s._last._timer is None or s._last._timer.finished.is_set())

    async def test_of_two_that_start_at_once_one_runs(self) -> None:
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        both = [self.make("test-2")[0] for _ in range(2)]
        running = {asyncio.ensure_future(s.run(NATS, ETCD)): s for s in both}
        done, left = await asyncio.wait(running, timeout=LONG, return_when=asyncio.FIRST_COMPLETED)
        self.assertEqual([type(task.exception()) for task in done], [Taken])
        for task in left:
            await self.eventually(lambda: self._answers("test-2"))
            running[task].stop()
            await task

    async def test_who_waits_for_its_name_can_be_stopped(self) -> None:
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        other, recorder = self.make("test-1")
        waiting = asyncio.ensure_future(other.run(NATS, ETCD))
        await self.eventually(lambda: is_(lambda: other.presence is not None and other.presence.entry is not None))
        other.told_to_stop()
        await asyncio.wait_for(waiting, LONG)  # without Taken
        await self.ask("EchoRequest", {"number": 1}, player="alice", session="gw/1")
        self.assertEqual((self.recorder.order, recorder.order), (["alice 1"], []))
        self.assertIsNotNone(await self.entry())

    async def test_one_that_died_is_followed(self) -> None:
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        assert self.service.presence.entry is not None
        died = self.service.presence.entry._lease
        presence = self.service.presence

        async def die() -> None:  # nobody renews its lease
            assert presence.entry is not None
            for task in presence.entry._tasks:
                task.cancel()
            await presence.nats.close()

        await presence.do(die())
        await presence.close()
        await self.service.nats.close()
        self.left = True
        next_, recorder = self.make("test-1")
        await next_.start(NATS, ETCD)
        try:
            assert next_.presence.entry is not None
            found = await self.etcd.look(next_.presence.entry.key)
            self.assertTrue(found is not None and found.lease == next_.presence.entry._lease != died)
            await self.ask("EchoRequest", {"number": 1}, player="alice", session="gw/1")
            self.assertEqual(recorder.order, ["alice 1"])
        finally:
            await next_.leave()

    async def test_who_loses_its_name_stops(self) -> None:
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        other, recorder = self.make("test-2")
        running = asyncio.ensure_future(other.run(NATS, ETCD))
        await self.eventually(lambda: is_(lambda: other.beats > 0 and 'any' in other.presence.subscriptions))
        assert other.presence.entry is not None
        self.assertTrue(await self._answers("test-2"))
        # As if its lease had run out and another process had registered first.
        theirs = await self.etcd.grant(60)
        body = {"key": _b64(other.presence.entry.key), "value": _b64('{"node":"elsewhere"}'), "lease": theirs}
        await self.etcd.call("/v3/kv/put", body)
        await self.etcd.revoke(other.presence.entry._lease)
        with self.assertRaisesRegex(Taken, "instance test-2 of service test already runs on node elsewhere since"):
            await asyncio.wait_for(running, LONG)
        self.assertFalse(await self._answers("test-2"))
        self.assertEqual(await self.etcd.get(other.presence.entry.key), '{"node":"elsewhere"}')
        await self.etcd.revoke(theirs)

    async def test_the_connection_comes_back(self) -> None:
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        proxy = Proxy()
        url = await proxy.start(NATS)
        other, _ = self.make("test-2")
        await other.start(url, ETCD)
        try:
            for round_ in range(3):
                await self.eventually(lambda: self._answers("test-2"))
                waiting = asyncio.ensure_future(other.nats.request(f"nobody.listens.{round_}.to.this", timeout=LONG))
                await asyncio.sleep(0)
                proxy.cut()
                with self.assertRaises((Disconnected, NoResponders)):
                    await waiting
                await self.eventually(lambda: is_(lambda: other.nats.reconnects == round_ + 1))
            await self.eventually(lambda: self._answers("test-2"))
        finally:
            await other.leave()
            await proxy.stop()

    async def test_who_cannot_be_reached_is_told(self) -> None:
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        proxy = Proxy()
        url = await proxy.start(NATS)
        other, _ = self.make("test-2")
        await other.start(url, ETCD)

        async def says(text: str) -> bool:
            return ((await self.entry("test-2")) or {"hung": "?"}).get("hung", "").startswith(text)

        try:
            self.assertNotIn("hung", await self.entry("test-2") or {})
            proxy.open = False
            proxy.cut()
            await self.eventually(lambda: says("NATS has not answered this instance since "))
            proxy.open = True

            async def recovered() -> bool:
                return "hung" not in (await self.entry("test-2") or {"hung": "?"})

            await self.eventually(recovered)
            await self.eventually(lambda: self._answers("test-2"))
        finally:
            await other.leave()
            await proxy.stop()

    async def test_an_instance_that_nats_refuses_does_not_start(self) -> None:
        other, _ = self.make("test-2")
        with self.assertRaises(NatsError) as refused:
            await other.start("nats://" + NATS.rpartition("@")[2], ETCD)
        self.assertRegex(
            str(refused.exception),
            r"^NATS does not let this service subscribe to \S+ and 12 more: the URL needs the nodes' user and password, as wind infra prints it$",
        )
        self.assertIsNone(await self.entry("test-2"))

    async def _answers(self, instance: str) -> bool:
        try:
            await self.ask("EchoRequest", {}, f"id.{instance}", player="alice", session="gw/1", timeout=2)
            return True
        except (NoResponders, asyncio.TimeoutError):
            return False

    async def test_a_wrong_password_is_said(self) -> None:
        user, _, rest = NATS.partition("@")
        with self.assertRaisesRegex(NatsError, "(?i)authorization.*: the URL needs the nodes' user and password, as wind infra prints it"):
            await Nats(user.rpartition(":")[0] + ":wrong@" + rest).connect()
        with self.assertRaisesRegex(NatsError, "does not answer"):
            await Nats("nats://127.0.0.1:1").connect()
        with self.assertRaisesRegex(EtcdError, "does not answer"):
            await Etcd("http://127.0.0.1:1").get("/x")


if __name__ == "__main__":
    unittest.main()
