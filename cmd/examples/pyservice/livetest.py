"""What tests with real servers share. WIND_NATS and WIND_ETCD name the servers; without them, such tests are skipped."""

from __future__ import annotations

import asyncio
import json
import os
import unittest
from typing import Any, Awaitable, Callable, Dict, List, Optional, Tuple

import windservice as ws
from test_windcodec import messages
from windetcd import Etcd
from windnats import Msg, Nats

NATS, ETCD = os.environ.get("WIND_NATS", ""), os.environ.get("WIND_ETCD", "")
LONG = 30.0  # seconds that a slow machine may need


async def is_(ok: Callable[[], bool]) -> bool:
    return ok()


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
                elif request["text"] == "logs in":
                    client.log_in("alice")
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
class Live(unittest.IsolatedAsyncioTestCase):
    """An instance of a service, with a NATS client that plays the gateways and the other services."""

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
        service = ws.Service("test", instance, messages, cluster=self.cluster, login=("EnterRequest",), ttl=1, **options)
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


class Proxy:
    """A proxy that cuts connections to a server."""

    def __init__(self) -> None:
        self._writers: List[asyncio.StreamWriter] = []
        self._tasks: List[asyncio.Task[None]] = []
        self.open = True  # accepts connections

    async def start(self, url: str) -> str:
        head, _, address = url.rpartition("@")
        host, _, port = address.rpartition(":")
        self._to = (host, int(port))
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"{head}@127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.open:
            writer.transport.abort()
            return
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
