"""Tests of what a handler asks the nodes that host rooms, with a node that answers as the test says. rooms_test.go has a real
node."""

from __future__ import annotations

import json
from typing import Any, Dict, List

import windservice as ws
from livetest import Live
from windnats import Msg


class RoomsTest(Live):
    def answering(self, *answers: bytes) -> List[Dict[str, Any]]:
        """Plays the nodes: gives one answer after another. Returns the requests that come."""
        left, asked = list(answers), []  # type: List[bytes], List[Dict[str, Any]]

        def answer(m: Msg) -> None:
            asked.append({"message": m.headers["Wind-Message"], **json.loads(m.data)})
            self.nats.publish(m.reply, left.pop(0), {"Wind-Message": m.headers["Wind-Message"].replace("Request", "Response"), "Wind-Format": "json"})

        self.nats.subscribe(f"windrpc.{self.cluster}.rooms.any", answer)
        return asked

    async def told(self, handler: Any) -> str:
        """Returns the text that a handler answers, or its error."""
        self.service._handlers[True]["EchoRequest"] = handler
        await self.nats.flush()
        msg = await self.ask("EchoRequest", {}, player="alice", session="gw/1")
        return str(json.loads(msg.data)["text"]) if msg.data else msg.headers["Nats-Service-Error"] + (", maybe" if "Wind-Maybe" in msg.headers else "")

    async def test_a_long_list_comes_in_pages(self) -> None:
        pages = [{"rooms": [{"room": "a"}, {"room": "b"}], "more": True, "revision": 3}, {"rooms": [{"room": "c"}], "revision": 4}]
        asked = self.answering(*(json.dumps(p).encode() for p in pages))

        async def lists(client: ws.Client, request: Dict[str, Any]) -> Dict[str, Any]:
            return {"text": " ".join(r["room"] for r in await client.service.rooms.list(state="running", label={"region": "eu"}, players=True))}

        self.assertEqual(await self.told(lists), "a b c")
        first = {"message": "RoomListRequest", "state": "running", "labels": {"region": "eu"}, "players": True}
        self.assertEqual(asked, [first, {**first, "after": "b"}])

    async def test_a_request_has_what_it_was_given(self) -> None:
        asked = self.answering(b'{"room": "r-1", "state": "running"}')

        async def creates(client: ws.Client, request: Dict[str, Any]) -> Dict[str, Any]:
            made = await client.service.rooms.create(
                "arena", options={"size": 60}, key="k", idle="1m", limit="5m", labels={"region": "eu"}, players=("ann", "ben"), seed=7, keep="archive",
                standbys=1, wait="2s",
            )
            return {"text": made["room"]}

        self.assertEqual(await self.told(creates), "r-1")
        self.assertEqual(asked, [{
            "message": "RoomCreateRequest", "game": "arena", "options": {"size": 60}, "key": "k", "idle": "1m", "limit": "5m", "labels": {"region": "eu"},
            "players": ["ann", "ben"], "seed": 7, "keep": "archive", "standbys": 1, "wait": "2s",
        }])

    async def test_a_removal_says_what_it_was_given(self) -> None:
        asked = self.answering(*[b'{"room": "r-1", "state": "gone"}'] * 2)

        async def removes(client: ws.Client, request: Dict[str, Any]) -> Dict[str, Any]:
            await client.service.rooms.remove("r-1")
            return {"text": (await client.service.rooms.remove("r-1", unarchived=True))["state"]}

        self.assertEqual(await self.told(removes), "gone")
        first = {"message": "RoomRemoveRequest", "room": "r-1"}
        self.assertEqual(asked, [first, {**first, "unarchived": True}])

    async def test_what_cannot_be_read_may_have_been_done(self) -> None:
        self.answering(b"[]")

        async def closes(client: ws.Client, request: Dict[str, Any]) -> Dict[str, Any]:
            await client.service.rooms.close("r-1")
            return {}

        self.assertEqual(await self.told(closes), "the answer to RoomCloseRequest is not a JSON object, maybe")

    async def test_what_cannot_be_encoded_is_not_sent(self) -> None:
        asked = self.answering()

        async def creates(client: ws.Client, request: Dict[str, Any]) -> Dict[str, Any]:
            await client.service.rooms.create("arena", options={"size": float("nan")})
            return {}

        self.assertRegex(await self.told(creates), "^RoomCreateRequest cannot be encoded: .*[^e]$")
        self.assertEqual(asked, [])
