"""Tests of the codec, and of NATS headers and URLs."""

from __future__ import annotations

import importlib.util
import types
import unittest

import translate_wind
from windcodec import Codec, CodecError
from windnats import Nats, NatsError, decode_headers, encode_headers

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
            ({"text": 1}, "EchoRequest.text: 1 is not a valid string"), ({"number": "x"}, "EchoRequest.number: 'x' is not a valid int32"),
            ({"number": 1 << 31}, "EchoRequest.number: 2147483648 is not a valid int32"), ({"number": True}, "EchoRequest.number: True is not a valid int32"),
            ({"number": 1.5}, "EchoRequest.number: 1.5 is not a valid int32"), ({"long_name": 1 << 63}, "EchoRequest.long_name: 9223372036854775808 is not a valid int64"),
            ({"place": {"x": "a"}}, "EchoRequest.place: Place.x: 'a' is not a valid float"), ({"place": {"z": 1}}, 'EchoRequest.place: unknown field "z" of Place'),
            ({"place": {"x": "nan"}}, "EchoRequest.place: Place.x: 'nan' is not a valid float"), ({"place": 1}, "EchoRequest.place: it is not an object"),
            ({"tags": "ab"}, "EchoRequest.tags: it is not a list"), ({"tags": [1]}, "EchoRequest.tags: 1 is not a valid string"),
            ({"also": {1: {}}}, "EchoRequest.also: the key 1 is not a valid string"), ({"also": {"a": {"y": []}}}, "EchoRequest.also: Place.y: [] is not a valid float"),
            ({"kind": "NEITHER"}, "EchoRequest.kind: 'NEITHER' is not a valid Kind"), ({"yes": 1}, "EchoRequest.yes: 1 is not a valid bool"),
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

    def test_several_modules_make_one_codec(self) -> None:
        other = types.SimpleNamespace(
            IDS={"BuyRequest": 3101, "Waved": 3004}, ANSWERS={"BuyRequest": None}, FIELDS={"BuyRequest": {"at": "Place{x float, y float}"}, "Place": messages.FIELDS["Place"]},
        )
        codec = Codec((messages, other))  # type: ignore[arg-type]
        self.assertEqual((codec.ids["EchoRequest"], codec.ids["BuyRequest"]), (3001, 3101))
        self.assertEqual(codec.decode("BuyRequest", "json", b'{"at":{"x":1}}'), {"at": {"x": 1.0, "y": 0.0}})
        self.assertEqual(codec.decode("EchoResponse", "json", b"{}"), {"text": "", "number": 0})
        for wrong, said in (
            ({"FIELDS": {"Place": {"x": "string"}}}, "two modules have different messages Place: handlers are found by the short name"),
            ({"IDS": {"BuyRequest": 3001}}, "EchoRequest and BuyRequest both have the id 3001"),
        ):
            module = types.SimpleNamespace(**{"IDS": {}, "ANSWERS": {}, "FIELDS": {}, **wrong})
            with self.assertRaises(ValueError) as refused:
                Codec([messages, module])  # type: ignore[list-item]
            self.assertEqual(str(refused.exception), said)


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
