"""Tests of what handlers send, with a shard and services that do not answer. command_test.go has a real shard."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Dict, List

import windservice as ws
from livetest import LONG, Live
from windnats import Msg


class CallTest(Live):
    def handle(self, name: str, how: Any) -> None:
        """Replaces a handler of the running service."""
        self.service._handlers[True][name] = how

    async def heard(self, subject: str) -> "asyncio.Queue[Msg]":
        """Subscribes like a receiver that never answers."""
        got: "asyncio.Queue[Msg]" = asyncio.Queue()
        self.nats.subscribe(f"windrpc.{self.cluster}.{subject}", got.put_nowait)
        await self.nats.flush()
        return got

    async def test_a_command_waits_no_longer_than_its_request(self) -> None:
        got, left = await self.heard("shard.id.main"), []

        async def stays(client: ws.Client, request: Dict[str, Any]) -> Dict[str, Any]:
            try:
                await client.service.command("main", "pay", {"amount": 5}, timeout=60)
            except asyncio.CancelledError:
                pass
            try:
                await client.service.command("main", "late")
            except ws.ServiceError as e:
                left.append((e.code, e.text))
            try:
                await client.service.call("absent", "S_AddRequest", {})
            except ws.ServiceError as e:
                left.append((e.code, e.text))
            return {}

        self.handle("EchoRequest", stays)
        late = await self.refused(ws.DEADLINE_EXCEEDED, "EchoRequest", {}, player="alice", session="gw/1", Wind_Timeout="4000")
        self.assertEqual(late.headers.get("Wind-Maybe"), "1")
        msg = await asyncio.wait_for(got.get(), LONG)
        self.assertEqual(json.loads(msg.data), {"op": "command", "name": "pay", "value": {"amount": 5}})
        self.assertEqual(msg.headers["Wind-From"], "test/test-1")
        self.assertLessEqual(int(msg.headers["Wind-Timeout"]), 3800)
        await self.eventually(lambda: self._are(left, 2))
        self.assertEqual(left, [
            (ws.DEADLINE_EXCEEDED, "the request's time is over: late was not sent to shard main"),
            (ws.DEADLINE_EXCEEDED, "the request's time is over: absent was not called"),
        ])
        self.assertTrue(got.empty())

    @staticmethod
    async def _are(items: List[Any], count: int) -> bool:
        return len(items) == count

    async def test_what_a_handler_gives_up_may_have_been_done(self) -> None:
        shard, other = await self.heard("shard.id.main"), await self.heard("other.any")

        async def gives_up(client: ws.Client, request: Dict[str, Any]) -> Dict[str, Any]:
            service = client.service
            sending = service.command("main", "pay") if request["text"] == "command" else service.call("other", "S_AddRequest", {})
            task = asyncio.create_task(sending)
            await (shard if request["text"] == "command" else other).get()
            task.cancel()
            await asyncio.wait({task})
            raise ws.ServiceError(ws.NOT_FOUND, "no")

        self.handle("EchoRequest", gives_up)
        for text in ("command", "call"):
            msg = await self.refused(ws.NOT_FOUND, "EchoRequest", {"text": text}, player="alice", session="gw/1", Wind_Timeout="60000")
            self.assertEqual(msg.headers.get("Wind-Maybe"), "1", text)

    async def test_what_was_not_sent_is_no_effect(self) -> None:
        long = "x" * self.service.nats.max_payload

        async def fails(client: ws.Client, request: Dict[str, Any]) -> Dict[str, Any]:
            try:
                if request["text"] == "command":
                    await client.service.command("main", "pay", {"player": long})
                elif request["text"] == "tell":
                    client.service.tell("other", "EchoRequest", {"text": long})
                elif request["text"] == "push":
                    client.push("Waved", {"who": long})
                await client.service.call("other", "EchoRequest", {"text": long})
            except ws.ServiceError as e:
                self.assertTrue(e.not_begun)
                raise
            return {}

        self.handle("EchoRequest", fails)
        for text, what in (("command", "command pay"), ("call", "EchoRequest"), ("tell", "EchoRequest"), ("push", "Waved")):
            msg = await self.refused(ws.INVALID_ARGUMENT, "EchoRequest", {"text": text}, player="alice", session="gw/1")
            self.assertEqual(msg.headers.get("Wind-Maybe"), None, text)
            self.assertRegex(msg.headers["Nats-Service-Error"], what + " cannot be sent: a message of .* bytes exceeds the server's limit")

    async def test_the_trace_of_a_request_goes_on(self) -> None:
        got = await self.heard("other.any")

        async def tells(client: ws.Client, request: Dict[str, Any]) -> Dict[str, Any]:
            client.service.tell("other", "S_AddRequest", {"number": 1})
            return {}

        self.handle("EchoRequest", tells)
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        await self.ask("EchoRequest", {}, player="alice", session="gw/1", traceparent=trace)
        await self.ask("EchoRequest", {}, player="alice", session="gw/1")
        self.assertEqual([(await asyncio.wait_for(got.get(), LONG)).headers.get("traceparent") for _ in range(2)], [trace, None])

    async def test_a_player_has_no_spaces_at_the_ends(self) -> None:
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        for name in (" ann", "ann ", "\u00a0"):
            await self.refused(ws.INTERNAL, "EnterRequest", {"name": name}, session="gw/1")
