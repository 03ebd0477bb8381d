#!/usr/bin/env python3
"""A client of Wind that speaks ferris1/wind's protocol over TCP, with the standard library of Python 3.9 or newer alone.

    windclient.py --addr 127.0.0.1:50100 --name alice --say hello --expect 2 --timeout 20

logs in, creates a role, says something to the world, prints each message that comes as one line of JSON, and ends with 0
when it has heard as many as it expects. As a library:

    client = await Client.connect("127.0.0.1", 50100)
    await client.log_in("alice")
    client.send("SpeakOnWorldRequest", player_id="alice", name="Alice", content="hello")
    heard = await client.expect("SpeakOnWorldResponse")
    await client.close()

A frame is | message id u32 LE | length u32 LE | payload |, and a payload is Protobuf.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import sys
import time
from typing import Any, AsyncIterator, Dict, List, Optional, Tuple, Union

Message = Tuple[str, Dict[str, Any]]  # its name, and its fields
Value = Union[str, int, bool, float, Dict[str, Any]]
# The name and type of each field, numbered from 1; a type that is a message's name is that message.
Fields = List[Tuple[str, str]]

PLAYER: Fields = [("player_id", "string")]
RESULT: Fields = [("player_id", "string"), ("result", "bool")]
MOVE: Fields = [("move", "Vector2"), ("look", "Vector2"), ("player_id", "string")]
TRANSFORM: Fields = [("player_id", "string"), ("position", "Vector3"), ("rotation", "Vector3")]

MESSAGES: Dict[str, Tuple[int, Fields]] = {
    "HeartbeatRequest": (101, PLAYER),
    "PlayerLoginRequest": (1001, PLAYER),
    "PlayerLoginResponse": (1002, RESULT),
    "CreateRoleRequest": (1003, [("player_id", "string"), ("role_id", "int32")]),
    "CreateRoleResponse": (1004, [("player_id", "string"), ("role_id", "int32"), ("result", "bool")]),
    "SpeakOnWorldRequest": (1005, [("player_id", "string"), ("name", "string"), ("content", "string")]),
    "SpeakOnWorldResponse": (1006, [("speak_id", "string"), ("name", "string"), ("content", "string")]),
    "Vector3": (1007, [("x", "float"), ("y", "float"), ("z", "float")]),
    "Vector2": (1008, [("x", "float"), ("y", "float")]),
    "PlayerMoveRequest": (1009, MOVE),
    "PlayerMoveResponse": (1010, MOVE),
    "PlayerJoinRoomRequest": (1011, PLAYER),
    "PlayerJoinRoomResponse": (1012, RESULT),
    "PlayerUpdateTransformRequest": (1013, TRANSFORM),
    "PlayerUpdateTransformResponse": (1014, TRANSFORM),
    "RoleRequest": (1101, []),  # of the speak example, not of ferris1/wind
    "RoleResponse": (1102, [("player_id", "string"), ("role_id", "int32")]),
    "Fault": (2101, [("code", "uint32"), ("text", "string"), ("request", "uint32"), ("maybe", "bool")]),  # a request failed
}
NAMES: Dict[int, str] = {number: name for name, (number, _) in MESSAGES.items()}

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types of Protobuf
HEARTBEAT_EVERY = 10.0  # seconds; the server ends a connection that is silent for 30
MAX_WAITING = 1000  # messages that wait to be read; then the server waits
MAX_PAYLOAD = 1 << 20  # bytes; a longer frame is not believed


class ProtocolError(Exception):
    """The server sent what is no frame or no message."""


class Faulted(Exception):
    """The server answered a request with a Fault."""

    def __init__(self, fault: Dict[str, Any]) -> None:
        super().__init__(f"code {fault['code']}: {fault['text']}")
        self.fault = fault


def _varint(n: int) -> bytes:
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> Tuple[int, int]:
    n = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ProtocolError("a number is cut off or too long")
        b = data[at]
        at += 1
        n |= (b & 0x7F) << shift
        if b < 0x80:
            return n & (1 << 64) - 1, at
        shift += 7


def encode(message: str, /, **fields: Value) -> bytes:
    """The payload of a message. Fields that are not given, and those that are zero, are not on the wire."""
    table = MESSAGES[message][1]
    unknown = set(fields) - {name for name, _ in table}
    if unknown:
        raise ValueError(f"{message} has no field {', '.join(sorted(unknown))}")
    out = bytearray()
    for number, (name, kind) in enumerate(table, 1):
        value = fields.get(name)
        if not value and not isinstance(value, dict):
            continue
        if kind in ("int32", "uint32", "bool"):
            out += _varint(number << 3 | VARINT) + _varint(int(value))  # type: ignore[arg-type]
        elif kind == "float":
            out += _varint(number << 3 | FIXED32) + struct.pack("<f", value)
        else:
            body = str(value).encode() if kind == "string" else encode(kind, **value)  # type: ignore[arg-type]
            out += _varint(number << 3 | BYTES) + _varint(len(body)) + body
    return bytes(out)


def decode(message: str, payload: bytes) -> Dict[str, Any]:
    """The fields of a message, all of them. Those that are not in the table are skipped. Raises ProtocolError."""
    table = MESSAGES[message][1]
    zeros: Dict[str, Any] = {"string": "", "int32": 0, "uint32": 0, "bool": False, "float": 0.0}
    result: Dict[str, Any] = {name: zeros[kind] if kind in zeros else decode(kind, b"") for name, kind in table}
    at = 0
    while at < len(payload):
        tag, at = _read_varint(payload, at)
        wire, raw = tag & 7, b""
        number = 0
        if wire == VARINT:
            number, at = _read_varint(payload, at)
        elif wire in (FIXED64, FIXED32, BYTES):
            size = {FIXED64: 8, FIXED32: 4}.get(wire, 0)
            if wire == BYTES:
                size, at = _read_varint(payload, at)
            raw, at = payload[at:at + size], at + size
            if len(raw) < size:
                raise ProtocolError(f"{message} is cut off")
        else:
            raise ProtocolError(f"{message} has a field of wire type {wire}")
        if not 1 <= tag >> 3 <= len(table):
            continue
        name, kind = table[(tag >> 3) - 1]
        expected = VARINT if kind in ("int32", "uint32", "bool") else FIXED32 if kind == "float" else BYTES
        if wire == expected:
            result[name] = _value(kind, number, raw)
    return result


def _value(kind: str, number: int, raw: bytes) -> Any:
    if kind == "bool":
        return number != 0
    if kind == "uint32":
        return number & 0xFFFFFFFF
    if kind == "int32":
        number &= 0xFFFFFFFF
        return number - (1 << 32) if number >> 31 else number
    if kind == "float":
        return struct.unpack("<f", raw)[0]
    if kind != "string":
        return decode(kind, raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ProtocolError("a text is not UTF-8") from None


def frame(message: str, /, **fields: Value) -> bytes:
    """A whole frame."""
    payload = encode(message, **fields)
    return struct.pack("<II", MESSAGES[message][0], len(payload)) + payload


async def read_frame(reader: asyncio.StreamReader) -> Message:
    """The next message and its fields; of an id that is not known, the id and the payload in hexadecimal."""
    number, size = struct.unpack("<II", await reader.readexactly(8))
    if size > MAX_PAYLOAD:
        raise ProtocolError(f"a frame of {size} bytes")
    payload = await reader.readexactly(size)
    name = NAMES.get(number)
    if name is None:
        return str(number), {"payload": payload.hex()}
    return name, decode(name, payload)


class Client:
    """A connection. Messages wait in it, in order, until they are read; it sends heartbeats by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heartbeat: float) -> None:
        self.player = ""
        self._reader, self._writer = reader, writer
        self._came: asyncio.Queue[Union[Message, Exception]] = asyncio.Queue(MAX_WAITING)
        self._passed: List[Message] = []  # taken by expect, and not what it waited for
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._read()), loop.create_task(self._beat(heartbeat))]

    @classmethod
    async def connect(cls, host: str, port: int, heartbeat: float = HEARTBEAT_EVERY) -> Client:
        """Connects, or raises OSError."""
        return cls(*await asyncio.open_connection(host, port), heartbeat)

    def send(self, message: str, /, **fields: Value) -> None:
        """Sends a message."""
        self._writer.write(frame(message, **fields))

    async def receive(self) -> Message:
        """The next message that nobody has seen. Raises EOFError when the server has closed, ProtocolError, or OSError."""
        return self._passed.pop(0) if self._passed else await self._take()

    async def expect(self, message: str) -> Dict[str, Any]:
        """The next such message; others that come before stay for receive. A Fault that comes first raises Faulted."""
        for at, (name, fields) in enumerate(self._passed):
            if name == message:
                del self._passed[at]
                return fields
        while True:
            name, fields = await self._take()
            if name == message:
                return fields
            if name == "Fault":
                raise Faulted(fields)
            self._passed.append((name, fields))

    async def log_in(self, player: str) -> None:
        """Logs in, or raises Faulted."""
        self.send("PlayerLoginRequest", player_id=player)
        answer = await self.expect("PlayerLoginResponse")
        if not answer["result"]:
            raise Faulted({"code": 16, "text": f"the login of {player} was refused"})
        self.player = player

    async def create_role(self, role: int) -> Dict[str, Any]:
        """Creates the player's role and returns the answer."""
        self.send("CreateRoleRequest", player_id=self.player, role_id=role)
        return await self.expect("CreateRoleResponse")

    def __aiter__(self) -> AsyncIterator[Message]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[Message]:
        while True:
            try:
                yield await self.receive()
            except EOFError:
                return

    async def _take(self) -> Message:
        came = await self._came.get()
        if isinstance(came, Exception):
            self._came.put_nowait(came)  # it stays closed
            raise came
        return came

    async def _read(self) -> None:
        while True:
            try:
                await self._came.put(await read_frame(self._reader))
            except (OSError, EOFError, ProtocolError) as e:
                await self._came.put(e)
                return

    async def _beat(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            self.send("HeartbeatRequest", player_id=self.player)

    async def close(self) -> None:
        """Closes the connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass


def _print(message: str, fields: Dict[str, Any]) -> None:
    print(json.dumps({"message": message, **fields}, ensure_ascii=False), flush=True)


async def _talk(a: argparse.Namespace) -> bool:
    """The program: true when it has heard all that it expects."""
    host, _, port = a.addr.rpartition(":")
    client = await Client.connect(host.strip("[]"), int(port), a.heartbeat)
    try:
        return await _converse(client, a)
    finally:
        await client.close()


async def _converse(client: Client, a: argparse.Namespace) -> bool:
    player = a.player or a.name
    client.send("PlayerLoginRequest", player_id=player)
    heard, said, echoed, names = 0, 0, 0, set(a.hear)
    ready = last = False
    due: Optional[float] = None  # when to speak
    while True:
        if ready and heard >= a.expect and not names:
            if a.say is None or a.every <= 0 or last and echoed >= said:
                return True
            if not last:  # whoever came late hears it too, before we leave
                last, due = True, time.monotonic()
        if due is not None and due <= time.monotonic():
            client.send("SpeakOnWorldRequest", player_id=player, name=a.name, content=a.say)
            said += 1
            due = time.monotonic() + a.every if a.every > 0 and not last else None
        try:
            message, fields = await asyncio.wait_for(client.receive(), None if due is None else max(0.0, due - time.monotonic()))
        except asyncio.TimeoutError:
            continue
        _print(message, fields)
        if message == "Fault" or fields.get("result") is False and not ready:
            return False
        if message == "PlayerLoginResponse":
            client.player = player
            client.send("CreateRoleRequest", player_id=player, role_id=a.role)
        elif message == "CreateRoleResponse":
            ready, due = True, None if a.say is None else time.monotonic()
        elif message == "SpeakOnWorldResponse":
            heard += 1
            names.discard(fields["name"])
            echoed += fields["speak_id"] == player


def main() -> int:
    """Exit codes: 0 all was heard, 1 it was not, 2 wrong usage."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--addr", default="127.0.0.1:50100", help="host:port of the gateway")
    p.add_argument("--name", required=True, help="name of the role")
    p.add_argument("--player", help="the player's id (default: the name)")
    p.add_argument("--role", type=int, default=1010, help="id of the role that is created")
    p.add_argument("--say", help="what is said to the world")
    p.add_argument("--every", type=float, default=0, help="say it again every so many seconds (0: once)")
    p.add_argument("--expect", type=int, default=1, help="how many SpeakOnWorldResponse are waited for")
    p.add_argument("--hear", action="append", default=[], help="and from whom, by name; may be given several times")
    p.add_argument("--heartbeat", type=float, default=HEARTBEAT_EVERY, help="seconds between heartbeats")
    p.add_argument("--timeout", type=float, default=20, help="seconds")
    a = p.parse_args()
    if not a.addr.rpartition(":")[2].isdigit():
        p.error(f"--addr {a.addr} is not host:port")
    try:
        return 0 if asyncio.run(asyncio.wait_for(_talk(a), a.timeout)) else 1
    except asyncio.TimeoutError:
        print(f"{a.name}: not all was heard within {a.timeout:g} s", file=sys.stderr)
    except (OSError, EOFError, ProtocolError) as e:
        print(f"{a.name}: {a.addr}: {e or type(e).__name__}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
