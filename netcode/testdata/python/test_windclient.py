"""Tests of windclient.py that need no server of Wind: payloads byte by byte, and a server that answers by rote."""

from __future__ import annotations

import asyncio
import json
import pathlib
import struct
import sys
import unittest
from typing import Any, Dict, List, Tuple

import windclient as wc


class PayloadTest(unittest.TestCase):
    def test_payloads_are_these_bytes(self) -> None:
        for message, fields, payload in (
            ("PlayerLoginRequest", {"player_id": "alice"}, b"\x0a\x05alice"),
            ("CreateRoleRequest", {"player_id": "a", "role_id": 1010}, b"\x0a\x01a\x10\xf2\x07"),
            ("CreateRoleRequest", {"role_id": -1}, b"\x10" + b"\xff" * 9 + b"\x01"),
            ("SpeakOnWorldResponse", {"speak_id": "", "name": "Ζ", "content": ""}, b"\x12\x02\xce\x96"),
            ("PlayerJoinRoomResponse", {"player_id": "", "result": True}, b"\x10\x01"),
            ("PlayerMoveRequest", {"move": {"x": 1.0}, "look": {}, "player_id": "a"}, b"\x0a\x05\x0d\x00\x00\x80\x3f\x12\x00\x1a\x01a"),
            ("HeartbeatRequest", {}, b""),
        ):
            with self.subTest(message):
                self.assertEqual(wc.encode(message, **fields), payload)
                back = wc.decode(message, payload)
                self.assertEqual({k: back[k] for k in fields if not isinstance(fields[k], dict)}, {k: v for k, v in fields.items() if not isinstance(v, dict)})
        self.assertEqual(wc.frame("PlayerLoginRequest", player_id="alice"), b"\xe9\x03\x00\x00\x07\x00\x00\x00\x0a\x05alice")

    def test_what_is_absent_is_zero(self) -> None:
        self.assertEqual(wc.decode("PlayerUpdateTransformResponse", b""), {
            "player_id": "", "position": {"x": 0.0, "y": 0.0, "z": 0.0}, "rotation": {"x": 0.0, "y": 0.0, "z": 0.0},
        })

    def test_what_is_not_known_is_skipped(self) -> None:
        payload = b"\x78\x05" + b"\x7d1234" + b"\x7112345678"[:9] + b"\x7a\x03xyz" + b"\x0a\x01a" + b"\x08\x07"
        self.assertEqual(wc.decode("PlayerLoginRequest", payload)["player_id"], "a")

    def test_what_is_no_message_is_refused(self) -> None:
        for payload in (b"\x0a", b"\x0a\x05al", b"\x0b", b"\xff" * 11, b"\x0a\x01\xff", b"\x0d\x00"):
            with self.assertRaises(wc.ProtocolError):
                wc.decode("PlayerLoginRequest", payload)
        with self.assertRaises(ValueError):
            wc.encode("PlayerLoginRequest", player="alice")


class Server:
    """Answers a login and a role, and tells everyone what one says, in frames that are torn apart or stuck together."""

    def __init__(self) -> None:
        self.writers: List[asyncio.StreamWriter] = []
        self.got: List[Tuple[str, Dict[str, Any]]] = []

    async def start(self) -> int:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while True:
                message, fields = await wc.read_frame(reader)
                self.got.append((message, fields))
                if message == "PlayerLoginRequest" and fields["player_id"] == "mallory":
                    writer.write(wc.frame("Fault", code=7, text="no", request=1001))
                elif message == "PlayerLoginRequest":
                    for byte in wc.frame("PlayerLoginResponse", player_id=fields["player_id"], result=True):
                        writer.write(bytes([byte]))
                        await writer.drain()
                elif message == "CreateRoleRequest":
                    writer.write(struct.pack("<II", 4000, 1) + b"?" + wc.frame("CreateRoleResponse", role_id=fields["role_id"], result=True))
                elif message == "SpeakOnWorldRequest":
                    for w in self.writers:
                        w.write(wc.frame("SpeakOnWorldResponse", speak_id=fields["player_id"], name=fields["name"], content=fields["content"]))
        except (EOFError, OSError):
            pass
        finally:
            self.writers.remove(writer)
            writer.close()


class ClientTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.server = Server()
        self.port = await self.server.start()

    async def asyncTearDown(self) -> None:
        self.server.server.close()
        for _ in range(3000):
            if not self.server.writers:
                return
            await asyncio.sleep(0.01)
        self.fail("a connection is still open")

    async def test_several_clients_hear_each_other(self) -> None:
        clients = [await wc.Client.connect("127.0.0.1", self.port) for _ in range(3)]
        for k, client in enumerate(clients):
            await client.log_in(f"p{k}")
            self.assertEqual((await client.create_role(k))["role_id"], k)
        clients[1].send("SpeakOnWorldRequest", player_id="p1", name="P", content="hello")
        for client in clients:
            self.assertEqual((await client.expect("SpeakOnWorldResponse"))["speak_id"], "p1")
            self.assertEqual(await client.receive(), ("4000", {"payload": "3f"}))  # it came before, and waits
            await client.close()

    async def test_a_fault_is_raised(self) -> None:
        client = await wc.Client.connect("127.0.0.1", self.port)
        with self.assertRaisesRegex(wc.Faulted, "no"):
            await client.log_in("mallory")
        await client.close()

    async def test_it_keeps_the_connection_alive(self) -> None:
        client = await wc.Client.connect("127.0.0.1", self.port, heartbeat=0.05)
        await client.log_in("alice")
        for _ in range(3000):
            if ("HeartbeatRequest", {"player_id": "alice"}) in self.server.got:
                break
            await asyncio.sleep(0.01)
        else:
            self.fail("there is no heartbeat")
        await client.close()

    async def test_it_ends_when_the_server_does(self) -> None:
        client = await wc.Client.connect("127.0.0.1", self.port)
        await client.log_in("alice")
        self.server.writers[0].close()
        self.assertEqual([m async for m in client], [])
        with self.assertRaises(EOFError):
            await client.receive()
        await client.close()

    async def run_program(self, *arguments: str) -> Tuple[int, List[Dict[str, Any]]]:
        program = pathlib.Path(wc.__file__)
        p = await asyncio.create_subprocess_exec(
            sys.executable, str(program), "--addr", f"127.0.0.1:{self.port}", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )
        out, _ = await p.communicate()
        assert p.returncode is not None
        return p.returncode, [json.loads(line) for line in out.splitlines()]

    async def test_the_program_says_what_it_hears(self) -> None:
        both = await asyncio.gather(
            self.run_program("--name", "alice", "--say", "hello", "--every", "0.2", "--expect", "2", "--hear", "bob", "--timeout", "60"),
            self.run_program("--name", "bob", "--say", "hi", "--every", "0.2", "--expect", "2", "--hear", "alice", "--timeout", "60"),
        )
        for code, lines in both:
            self.assertEqual(code, 0, lines)
            self.assertEqual([m["message"] for m in lines[:3]].count("PlayerLoginResponse"), 1)
            self.assertEqual({m["name"] for m in lines if m["message"] == "SpeakOnWorldResponse"}, {"alice", "bob"})

    async def test_the_program_fails_when_it_should(self) -> None:
        self.assertEqual((await self.run_program("--name", "alice", "--expect", "1", "--timeout", "1"))[0], 1)
        code, lines = await self.run_program("--name", "mallory")
        self.assertEqual((code, lines[0]["message"]), (1, "Fault"))
        self.assertEqual((await self.run_program("--name", "a", "--addr", "nowhere"))[0], 2)
        self.assertEqual((await self.run_program("--name", "a", "--addr", "127.0.0.1:1"))[0], 1)


if __name__ == "__main__":
    unittest.main()
