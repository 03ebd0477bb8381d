"""Tests of what a service refuses before it starts."""

from __future__ import annotations

import logging
import unittest
from typing import Any, Callable, Dict

import windservice as ws
from test_windcodec import messages
from livetest import Recorder


class RegisterTest(unittest.IsolatedAsyncioTestCase):
    def refused(self, said: str, make: Callable[[], Any]) -> None:
        with self.assertRaises(ValueError) as refused:
            make()
        self.assertEqual(str(refused.exception), said)

    def test_handlers_are_checked(self) -> None:
        async def Handler_EcoRequest(client: ws.Client, request: Dict[str, Any]) -> None: ...
        async def wave(client: ws.Client, request: Dict[str, Any]) -> None: ...
        def Handler_WaveRequest(client: ws.Client, request: Dict[str, Any]) -> None: ...

        class Short:
            @staticmethod
            async def Handler_WaveRequest(client: Any) -> None: ...

        class Bound:
            async def Handler_WaveRequest(self, client: Any, request: Any) -> None: ...

        service = ws.Service("test", "test-1", messages)
        for wrong, said in (
            (Handler_EcoRequest, "there is no message EcoRequest (did you mean EchoRequest?)"),
            (wave, "wave is not a handler: want async def Handler_<Message>(client, request)"),
            (Handler_WaveRequest, "Handler_WaveRequest is not a handler: want async def Handler_<Message>(client, request)"),
            (Short.Handler_WaveRequest, "Handler_WaveRequest(client: 'Any') -> 'None' does not take two arguments: want async def Handler_WaveRequest(client, request)"),
        ):
            self.refused(said, lambda: service.client_handler(wrong))  # type: ignore[arg-type]
        self.refused("logging has no handlers: they are functions like async def Handler_XRequest(client, request)", lambda: service.client_handlers(logging))
        self.refused("service test has no handlers", service.check)
        service.client_handlers(Bound())
        service.check()
        self.refused("two handlers for WaveRequest", lambda: service.client_handlers(Bound()))

    async def test_names_are_checked(self) -> None:
        for kind in ("player", "players", "shard", "node", "gateway"):
            self.refused(f"service type '{kind}' is taken: choose another name", lambda: ws.Service(kind, "a", messages))
        for kind, instance in (("Test", "a"), ("test", "a.b"), ("test", "a" * 61), ("", "a")):
            with self.assertRaises(ValueError):
                ws.Service(kind, instance, messages)
        for selector in ("least", "bin-pack", "max-threshold=0.75", "min-threshold=1", "consistent-hash"):
            ws.Service("test", "test-1", messages, selector=selector)
        for selector in ("fair", "least=1", "bin-pack=2", "max-threshold="):
            with self.assertRaises(ValueError):
                ws.Service("test", "test-1", messages, selector=selector)
        for given in ("public", "login"):
            self.refused("there is no message EnterReqest (did you mean EnterRequest?)", lambda: ws.Service("test", "a", messages, **{given: ("EnterReqest",)}))  # type: ignore[arg-type]
            service = ws.Service("test", "a", messages, **{given: ("EnterRequest",)})  # type: ignore[arg-type]
            Recorder().add_to(service)
            service.check()
            del service._handlers[True]["EnterRequest"]
            self.refused(f"service test: {given} names EnterRequest, for which it has no client handler", service.check)
