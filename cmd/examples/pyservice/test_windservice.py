"""Tests of the service library. WIND_NATS and WIND_ETCD name real servers; without them, tests that need servers are skipped."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import os
import types
import unittest
from typing import Any, Awaitable, Callable, Dict, List, Optional, Tuple

import translate_wind
import windservice as ws
from windcodec import Codec, CodecError
from windetcd import Etcd, EtcdError, Taken, _b64
from windnats import Disconnected, Msg, Nats, NatsError, NoResponders, decode_headers, encode_headers

NATS, ETCD = os.environ.get("WIND_NATS", ""), os.environ.get("WIND_ETCD", "")
LONG = 30.0  # seconds that a slow machine may need

messages = types.SimpleNamespace(
    IDS={"EchoRequest": 3001, "EchoResponse": 3002, "WaveRequest": 3003, "Waved": 3004, "EnterRequest": 3005, "EnterResponse": 3006},
    ANSWERS={"EchoRequest": "EchoResponse", "WaveRequest": None, "EnterRequest": "EnterResponse", "S_AddRequest": "S_AddResponse"},
    FIELDS={
        "EchoRequest": {"text": "string", "number": "int32", "long_name": "int64", "place": "Place{x float, y float}", "tags": "list of string",
                        "also": "map of string to Place{x float, y float}", "one": "string, one of source", "kind": "Kind: NONE | SOME", "yes": "bool"},
        "EchoResponse": {"text": "string", "number": "int32"}, "Place": {"x": "float", "y": "float"},
        "WaveRequest": {}, "Waved": {"who": "string"}, "EnterRequest": {"name": "string"}, "EnterResponse": {"ok": "bool"},
        "S_AddRequest": {"number": "int32"}, "S_AddResponse": {"sum": "int32"},
    },
)


class CodecTest(unittest.TestCase):
    def setUp(self) -> None:
        self.codec = Codec(messages)

    def test_a_request_has_all_its_fields(self) -> None:
        self.assertEqual(
            self.codec.decode("EchoRequest", "json", b""),
            {"text": "", "number": 0, "long_name": "0", "tags": [], "also": {}, "kind": "NONE", "yes": False},
        )

    def test_names_of_json_become_names_of_the_schema(self) -> None:
        got = self.codec.decode("EchoRequest", "json", '{"longName":"7","place":{"x":1},"also":{"a":{}},"one":"Ζωή","number":null}'.encode())
        self.assertEqual((got["long_name"], got["one"], got["number"]), ("7", "Ζωή", 0))
        self.assertEqual((got["place"], got["also"]), ({"x": 1.0, "y": 0.0}, {"a": {"x": 0.0, "y": 0.0}}))

    def test_unknown_fields_of_requests_are_refused(self) -> None:
        for payload, said in (
            (b'{"txt":"x"}', 'unknown field "txt" of EchoRequest (did you mean text?)'),
            (b'{"text":"x","qqqq":null}', 'unknown field "qqqq" of EchoRequest'),
            (b'{"LongName":1}', 'unknown field "LongName" of EchoRequest (did you mean longName?)'),
            (b'{"place":{"z":1}}', 'EchoRequest.place: unknown field "z" of Place'),
            (b'{"also":{"a":{"xx":1}}}', 'EchoRequest.also: unknown field "xx" of Place (did you mean x?)'),
            (b'{"\\n' + b"x" * 9000 + b'":1}', ""),
        ):
            with self.assertRaises(CodecError) as refused:
                self.codec.decode("EchoRequest", "json", payload)
            if said:
                self.assertEqual(str(refused.exception), said)
            self.assertLess(len(str(refused.exception)), 200)

    def test_unknown_fields_of_answers_are_ignored(self) -> None:
        got = self.codec.decode("EchoResponse", "json", b'{"text":"x","newer":{"a":1}}', strict=False)
        self.assertEqual(got, {"text": "x", "number": 0})

    def test_what_is_no_such_message_is_refused(self) -> None:
        for payload in (b"{", b"[]", b"1", b"\xff", b"[" * 100_000, b'{"text":1}', b'{"number":"x"}', b'{"number":true}', b'{"yes":0}', b'{"tags":{}}',
                        b'{"tags":[1]}', b'{"place":[]}', b'{"also":[]}', b'{"also":{"a":1}}', b'{"place":{"x":"y"}}', b'{"number":1e999}', b'{"longName":{}}', b'{"number":2147483648}', b'{"number":1.5}', b'{"longName":"9223372036854775808"}',
                        b'{"longName":1.5}', b'{"place":{"x":1e39}}', b'{"kind":"NEITHER"}'):
            with self.assertRaises(CodecError, msg=payload[:40]):
                self.codec.decode("EchoRequest", "json", payload)
        for form in ("protobuf", "xml"):
            with self.assertRaises(CodecError):
                self.codec.decode("EchoRequest", form, b"")

    def test_what_goes_out_is_held_against_its_message(self) -> None:
        for fields, said in (
            ({"txt": "x"}, 'unknown field "txt" of EchoRequest (did you mean text?)'), ({"longName": 1}, 'unknown field "longName" of EchoRequest (did you mean long_name?)'),
            ({"text": 1}, "EchoRequest.text: '1' is not a valid string"), ({"number": "x"}, "EchoRequest.number: 'x' is not a valid int32"),
            ({"number": 1 << 31}, "EchoRequest.number: '2147483648' is not a valid int32"), ({"number": True}, "EchoRequest.number: 'True' is not a valid int32"),
            ({"number": 1.5}, "EchoRequest.number: '1.5' is not a valid int32"), ({"long_name": 1 << 63}, "EchoRequest.long_name: '9223372036854775808' is not a valid int64"),
            ({"place": {"x": "a"}}, "EchoRequest.place: Place.x: 'a' is not a valid float"), ({"place": {"z": 1}}, 'EchoRequest.place: unknown field "z" of Place'),
            ({"place": {"x": "nan"}}, "EchoRequest.place: Place.x: 'nan' is not a valid float"), ({"place": 1}, "EchoRequest.place: it is not an object"),
            ({"tags": "ab"}, "EchoRequest.tags: it is not a list"), ({"tags": [1]}, "EchoRequest.tags: '1' is not a valid string"),
            ({"also": {1: {}}}, "EchoRequest.also: the key '1' is not a valid string"), ({"also": {"a": {"y": []}}}, "EchoRequest.also: Place.y: '[]' is not a valid float"),
            ({"kind": "NEITHER"}, "EchoRequest.kind: 'NEITHER' is not a valid Kind"), ({"yes": 1}, "EchoRequest.yes: '1' is not a valid bool"),
            ({1: 2}, 'unknown field "1" of EchoRequest'), ([], "EchoRequest must be a dictionary, not list"),
        ):
            with self.assertRaises(ValueError) as refused:
                self.codec.encode("EchoRequest", "json", fields)  # type: ignore[arg-type]
            self.assertEqual(str(refused.exception), said)

    def test_what_is_the_message_goes_out(self) -> None:
        for fields, payload in (
            ({}, "{}"), ({"text": None}, "{}"), ({"long_name": (1 << 63) - 1}, '{"long_name":"9223372036854775807"}'), ({"long_name": "-7"}, '{"long_name":"-7"}'),
            ({"number": 2.0, "kind": "SOME", "yes": False}, '{"number":2,"kind":"SOME","yes":false}'), ({"kind": 1}, '{"kind":1}'),
            ({"place": {"x": float("-inf"), "y": float("nan")}}, '{"place":{"x":"-Infinity","y":"NaN"}}'),
            ({"place": {"y": 1}, "tags": ("a", "b"), "also": {"k": {}}, "one": "x"}, '{"place":{"y":1.0},"tags":["a","b"],"also":{"k":{}},"one":"x"}'),
        ):
            self.assertEqual(self.codec.encode("EchoRequest", "json", fields), payload.encode())

    def test_numbers_come_back_as_they_went(self) -> None:
        for number in (0, 1 << 53, (1 << 53) + 1, -(1 << 63), (1 << 63) - 1):
            got = self.codec.decode("EchoRequest", "json", self.codec.encode("EchoRequest", "json", {"long_name": number}))
            self.assertEqual(int(got["long_name"]), number)


@unittest.skipUnless(importlib.util.find_spec("google") and importlib.util.find_spec("google.protobuf"), "python3-protobuf is not installed")
class ProtobufTest(unittest.TestCase):
    """Tests a codec with the classes that protoc would generate from translate.proto."""

    def setUp(self) -> None:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

        number = descriptor_pb2.FieldDescriptorProto
        file = descriptor_pb2.FileDescriptorProto(name="translate_test.proto", package="translate", syntax="proto3")
        for name, fields in (("TranslateRequest", ("text", "language")), ("TranslateResponse", ("text", "matched"))):
            message = file.message_type.add(name=name)
            for k, f in enumerate(fields):
                message.field.add(name=f, number=k + 1, type=number.TYPE_STRING, label=number.LABEL_OPTIONAL)
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file)
        described = pool.FindFileByName("translate_test.proto")
        module = types.SimpleNamespace(DESCRIPTOR=described)
        for name, d in described.message_types_by_name.items():
            old = getattr(message_factory, "GetMessageClass", None) is None  # before 4.22
            setattr(module, name, message_factory.MessageFactory(pool).GetPrototype(d) if old else message_factory.GetMessageClass(d))
        self.codec = Codec(translate_wind, (module,))  # type: ignore[arg-type]

    def test_handlers_see_dictionaries(self) -> None:
        self.assertTrue(self.codec.protobuf)
        self.assertEqual(self.codec.decode("TranslateRequest", "protobuf", b"\x0a\x02hi"), {"text": "hi", "language": ""})
        self.assertEqual(self.codec.encode("TranslateResponse", "protobuf", {"text": "hallo"}), b"\x0a\x05hallo")
        self.assertEqual(self.codec.encode("TranslateResponse", "json", {"text": "hallo"}), b'{"text":"hallo"}')
        for payload in (b"\x0a\x09hi", b"\xff", b"\x0a\x01\xff"):
            with self.assertRaises(CodecError):
                self.codec.decode("TranslateRequest", "protobuf", payload)


class HeaderTest(unittest.TestCase):
    def test_headers_come_back(self) -> None:
        headers = {"Wind-Player": "Ζωή", "A": "", "B": "x: y"}
        self.assertEqual(decode_headers(encode_headers(headers)), (headers, ""))
        self.assertEqual(decode_headers(b"NATS/1.0 503\r\n\r\n"), ({}, "503"))
        self.assertEqual(decode_headers(b"\xff\xfe"), ({}, ""))

    def test_lines_are_not_smuggled(self) -> None:
        for name, value in (("A", "x\r\nB: y"), ("A\r\n", "x"), ("A:B", "x"), ("A", "\0")):
            with self.assertRaises(NatsError):
                encode_headers({name: value})

    def test_what_is_no_url_is_refused(self) -> None:
        for url in ("tls://a:1", "http://a", "nats://", ""):
            with self.assertRaises(NatsError):
                Nats(url)


class RegisterTest(unittest.TestCase):
    def test_handlers_are_checked(self) -> None:
        async def Handler_NoSuchRequest(client: ws.Client, request: Dict[str, Any]) -> None: ...
        async def wave(client: ws.Client, request: Dict[str, Any]) -> None: ...
        def Handler_WaveRequest(client: ws.Client, request: Dict[str, Any]) -> None: ...

        service = ws.Service("test", "test-1", messages)
        for wrong in (Handler_NoSuchRequest, wave, Handler_WaveRequest):
            with self.assertRaises(ValueError):
                service.client_handler(wrong)  # type: ignore[arg-type]
        for kind, instance in (("Test", "a"), ("shard", "a"), ("test", "a.b"), ("test", "a" * 61), ("", "a")):
            with self.assertRaises(ValueError):
                ws.Service(kind, instance, messages)
        for selector in ("least", "bin-pack", "max-threshold=0.75", "min-threshold=1", "consistent-hash"):
            ws.Service("test", "test-1", messages, selector=selector)
        for selector in ("fair", "least=1", "bin-pack=2", "max-threshold="):
            with self.assertRaises(ValueError):
                ws.Service("test", "test-1", messages, selector=selector)


class Recorder:
    """Handlers that record who runs."""

    def __init__(self) -> None:
        self.running: Dict[str, int] = {}
        self.most: Dict[str, int] = {}
        self.order: List[str] = []
        self.gate = asyncio.Event()

    @staticmethod
    async def _tell(client: ws.Client) -> None:
        client.service.tell("test", "S_AddRequest", {"number": 1})

    def add_to(self, service: ws.Service) -> None:
        async def Handler_EchoRequest(client: ws.Client, request: Dict[str, Any]) -> Dict[str, Any]:
            who = client.player or client.session
            self.running[who] = self.running.get(who, 0) + 1
            self.most[who] = max(self.most.get(who, 0), self.running[who])
            try:
                if request["text"] == "wait":
                    await self.gate.wait()
                elif request["text"] == "fail":
                    raise ws.ServiceError(ws.ALREADY_EXISTS, "there is\none", maybe=False)
                elif request["text"] == "break":
                    raise KeyError("secret")
                elif request["text"] == "nothing":
                    return None  # type: ignore[return-value]
                elif request["text"] == "a wrong answer":
                    return {"number": "x"}
                elif request["text"] == "unavailable":
                    raise ws.ServiceError(ws.UNAVAILABLE, "my database is away")
                elif request["text"] == "absent service":
                    await client.service.call("absent", "S_AddRequest", {})
                elif request["text"] == "calls, refuses":
                    await client.service.call("test", "S_AddRequest", {"number": 1})
                    raise ws.ServiceError(ws.NOT_FOUND, "no")
                elif request["text"] == "tells in a task, refuses":
                    await asyncio.create_task(self._tell(client))
                    raise ws.ServiceError(ws.NOT_FOUND, "no")
                elif request["text"] == "pushes, refuses":
                    client.push("Waved", {"who": "x"})
                    raise ws.ServiceError(ws.NOT_FOUND, "no")
                elif request["text"] == "stores, and says so":
                    raise ws.ServiceError(ws.FAILED_PRECONDITION, "no", maybe=True)
                elif request["text"] == "says that it was not begun":
                    raise ws.ServiceError(ws.UNAVAILABLE, "no", not_begun=True)
                await asyncio.sleep(0)
                self.order.append(f"{who} {request['number']}")
            finally:
                self.running[who] -= 1
            return {"text": f"{client.player}|{client.session}|{client.sender}|{request['text']}", "number": request["number"]}

        async def Handler_WaveRequest(client: ws.Client, request: Dict[str, Any]) -> None:
            client.push("Waved", {"who": client.player})
            client.service.broadcast("Waved", {"who": "all"})

        async def Handler_EnterRequest(client: ws.Client, request: Dict[str, Any]) -> Dict[str, Any]:
            client.log_in(request["name"])
            return {"ok": True}

        async def Handler_S_AddRequest(caller: ws.Client, request: Dict[str, Any]) -> Dict[str, Any]:
            self.order.append(f"add {request['number']} of {caller.sender}")
            return {"sum": request["number"] + 1}

        for handler in (Handler_EchoRequest, Handler_WaveRequest, Handler_EnterRequest):
            service.client_handler(handler)
        service.server_handler(Handler_S_AddRequest)


@unittest.skipUnless(NATS and ETCD, "WIND_NATS and WIND_ETCD name no servers")
class LiveTest(unittest.IsolatedAsyncioTestCase):
    """Tests an instance of a service with a NATS client that plays the gateways and the other services."""

    async def asyncSetUp(self) -> None:
        self.cluster = f"py-{os.getpid()}-{self._testMethodName[5:25].replace('_', '-').lower()}".rstrip("-")
        self.service, self.recorder = self.make("test-1")
        await self.service.start(NATS, ETCD)
        self.nats, self.etcd = Nats(NATS), Etcd(ETCD)
        await self.nats.connect()
        self.left = False

    async def asyncTearDown(self) -> None:
        await self.nats.close()
        if not self.left:
            await self.service.leave()

    def make(self, instance: str, url: str = NATS, **options: Any) -> Tuple[ws.Service, Recorder]:
        service = ws.Service("test", instance, messages, cluster=self.cluster, public=("EnterRequest",), ttl=1, **options)
        recorder = Recorder()
        recorder.add_to(service)
        return service, recorder

    async def ask(self, message: str, fields: Any, to: str = "id.test-1", *, player: str = "", session: str = "", timeout: float = LONG, **headers: str) -> Msg:
        h = {"Wind-Message": message, "Wind-Format": "json", "Wind-Player": player, "Wind-Session": session, **{k.replace("_", "-"): v for k, v in headers.items()}}
        payload = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        return await self.nats.request(f"windrpc.{self.cluster}.test.{to}", payload, {k: v for k, v in h.items() if v}, timeout)

    async def refused(self, code: int, *args: Any, **kwargs: Any) -> Msg:
        msg = await self.ask(*args, **kwargs)
        self.assertEqual(msg.headers.get("Nats-Service-Error-Code"), str(code), msg)
        self.assertEqual(msg.data, b"")
        return msg

    async def eventually(self, ok: Callable[[], Awaitable[bool]]) -> None:
        end = asyncio.get_running_loop().time() + LONG
        while not await ok():
            self.assertLess(asyncio.get_running_loop().time(), end, "it never came to this")
            await asyncio.sleep(0.01)

    async def entry(self, instance: str = "test-1") -> Optional[Dict[str, Any]]:
        text = await self.etcd.get(f"/wind/{self.cluster}/services/test/{instance}")
        return None if text is None else json.loads(text)

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
            {"name": "EchoRequest", "id": 3001, "answer": 3002}, {"name": "EnterRequest", "id": 3005, "answer": 3006, "public": True},
            {"name": "WaveRequest", "id": 3003},
        ])

    async def test_a_login_names_the_player(self) -> None:
        msg = await self.ask("EnterRequest", {"name": "alice"}, session="gw/1")
        self.assertEqual(msg.headers.get("Wind-Player"), "alice")

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
        for text in ("break", "nothing"):
            broken = await self.refused(ws.INTERNAL, "EchoRequest", {"text": text}, **player)
            self.assertEqual(broken.headers["Nats-Service-Error"], "internal error")
        late = await self.refused(ws.DEADLINE_EXCEEDED, "EchoRequest", {"text": "wait"}, Wind_Timeout="100", **player)
        self.assertEqual(late.headers["Wind-Maybe"], "1")
        self.assertEqual(self.service.stats.in_flight, 0)

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
            await self.eventually(lambda: _is(lambda: "add 5 of test/test-1" in recorder.order and "add 5 of test/test-1" in self.recorder.order))
            for kind, instance in (("nobody", ""), ("test", "test-9")):
                with self.assertRaises(ws.ServiceError) as failed:
                    await self.service.call(kind, "S_AddRequest", {"number": 1}, instance=instance)
                self.assertEqual((failed.exception.code, failed.exception.maybe), (ws.UNAVAILABLE, False))
            with self.assertRaises(ws.ServiceError) as failed:
                await self.service.call("test", "EchoRequest", {}, instance="test-2")
            self.assertEqual(failed.exception.code, ws.UNIMPLEMENTED)
        finally:
            await other.leave()

    async def test_micro_knows_it(self) -> None:
        for of in ("", ".wind-test", f".wind-test.{self.service._operator.id}"):
            for verb in ("PING", "INFO", "STATS"):
                found: List[Dict[str, Any]] = []
                inbox = f"_INBOX.micro{of}.{verb}"
                self.nats.subscribe(inbox, lambda m: found.append(json.loads(m.data)))
                self.nats.publish(f"$SRV.{verb}{of}", reply=inbox)
                await self.eventually(lambda: _is(lambda: any(f["id"] == self.service._operator.id for f in found)))
                one = next(f for f in found if f["id"] == self.service._operator.id)
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
        self.assertEqual(entry["state"] == "up", "any" in self.service.subscriptions)
        self.service._leaving = True
        self.assertIn("stops", (await admin({"op": "undrain"}))["error"])
        self.service._leaving = False
        self.assertFalse(self.service._stopped)
        self.assertTrue((await admin({"op": "stop"}))["ok"])  # the request of wind stop, answered before the instance ends
        await self.eventually(lambda: _is(lambda: self.service._stopped))

    async def test_leaving_finishes_what_runs(self) -> None:
        running = asyncio.ensure_future(self.ask("EchoRequest", {"text": "wait", "number": 4}, player="alice", session="gw/1"))
        await self.eventually(lambda: _is(lambda: self.recorder.running.get("alice") == 1))
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
        assert self.service._entry is not None
        first = self.service._entry._lease
        await self.etcd.revoke(first)
        self.assertIsNone(await self.entry())

        async def back() -> bool:
            return await self.entry() is not None

        await self.eventually(back)
        self.assertNotEqual(self.service._entry._lease, first)

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
        with self.assertRaisesRegex(Taken, "instance test-1 already, on node test-1: choose another --instance"):
            await starting
        self.assertEqual((len(self.recorder.order), recorder.order), (2 * asked, []))
        assert self.service._entry is not None
        self.assertEqual(json.loads((await self.etcd.get(self.service._entry.key)) or "{}")["since"], self.service._entry.entry["since"])

    async def test_of_two_that_start_at_once_one_runs(self) -> None:
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        both = [self.make("test-2")[0] for _ in range(2)]
        ended = await asyncio.gather(*(s.start(NATS, ETCD) for s in both), return_exceptions=True)
        try:
            self.assertEqual(sorted(type(e).__name__ for e in ended), ["NoneType", "Taken"])
        finally:
            for service, error in zip(both, ended):
                if error is None:
                    await service.leave()

    async def test_one_that_died_is_followed(self) -> None:
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        assert self.service._entry is not None
        died = self.service._entry._lease
        for task in [*self.service._entry._tasks, *self.service._tasks]:  # nobody renews its lease
            task.cancel()
        await self.service.nats.close()
        self.left = True
        next_, recorder = self.make("test-1")
        await next_.start(NATS, ETCD)
        try:
            assert next_._entry is not None
            found = await self.etcd.look(next_._entry.key)
            self.assertTrue(found is not None and found.lease == next_._entry._lease != died)
            await self.ask("EchoRequest", {"number": 1}, player="alice", session="gw/1")
            self.assertEqual(recorder.order, ["alice 1"])
        finally:
            await next_.leave()

    async def test_who_loses_its_name_stops(self) -> None:
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        other, recorder = self.make("test-2")
        running = asyncio.ensure_future(other.run(NATS, ETCD))
        await self.eventually(lambda: _is(lambda: other._entry is not None))
        assert other._entry is not None
        self.assertTrue(await self._answers("test-2"))
        # As if its lease had run out and another process had registered first.
        theirs = await self.etcd.grant(60)
        body = {"key": _b64(other._entry.key), "value": _b64('{"node":"elsewhere"}'), "lease": theirs}
        await self.etcd.call("/v3/kv/put", body)
        await self.etcd.revoke(other._entry._lease)
        with self.assertRaisesRegex(Taken, "instance test-2 already, on node elsewhere"):
            await asyncio.wait_for(running, LONG)
        self.assertFalse(await self._answers("test-2"))
        self.assertEqual(await self.etcd.get(other._entry.key), '{"node":"elsewhere"}')
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
                await self.eventually(lambda: _is(lambda: other.nats.reconnects == round_ + 1))
            await self.eventually(lambda: self._answers("test-2"))
        finally:
            await other.leave()
            await proxy.stop()

    async def _answers(self, instance: str) -> bool:
        try:
            await self.ask("EchoRequest", {}, f"id.{instance}", player="alice", session="gw/1", timeout=2)
            return True
        except (NoResponders, asyncio.TimeoutError):
            return False

    async def test_a_wrong_password_is_said(self) -> None:
        user, _, rest = NATS.partition("@")
        with self.assertRaisesRegex(NatsError, "(?i)authorization"):
            await Nats(user.rpartition(":")[0] + ":wrong@" + rest).connect()
        with self.assertRaisesRegex(NatsError, "does not answer"):
            await Nats("nats://127.0.0.1:1").connect()
        with self.assertRaisesRegex(EtcdError, "does not answer"):
            await Etcd("http://127.0.0.1:1").get("/x")


async def _is(ok: Callable[[], bool]) -> bool:
    return ok()


class Proxy:
    """A proxy that cuts connections to a server."""

    def __init__(self) -> None:
        self._writers: List[asyncio.StreamWriter] = []
        self._tasks: List[asyncio.Task[None]] = []

    async def start(self, url: str) -> str:
        head, _, address = url.rpartition("@")
        host, _, port = address.rpartition(":")
        self._to = (host, int(port))
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"{head}@127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._to)
        self._writers += [writer, back]
        await asyncio.gather(self._pipe(reader, back), self._pipe(there, writer))

    @staticmethod
    async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                data = await reader.read(1 << 16)
                if not data:
                    break
                writer.write(data)
        except OSError:
            pass
        writer.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def stop(self) -> None:
        self.cut()
        self._server.close()
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    unittest.main()
