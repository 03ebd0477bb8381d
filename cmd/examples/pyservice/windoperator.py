"""What operators ask an instance: Wind's admin operations (wind drain, stop), and NATS micro's (nats micro ls, info, stats)."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from typing import TYPE_CHECKING, Any, Callable, Dict, List

from windetcd import EtcdError
from windnats import Msg, NatsError
from windrequest import FAILED_PRECONDITION, INVALID_ARGUMENT, UNAVAILABLE, UNIMPLEMENTED, ServiceError, line

if TYPE_CHECKING:
    from windpresence import Presence
    from windservice import Service

log = logging.getLogger("windservice")

MICRO = "io.nats.micro.v1."


class Operator:
    """Answers operators on behalf of a service, on the loop of its presence."""

    def __init__(self, service: "Service", presence: "Presence") -> None:
        self.id = secrets.token_hex(11)
        self._service, self._presence = service, presence

    def on_admin(self, msg: Msg) -> None:
        """Takes an admin request."""
        self._presence.spawn(self._admin(msg))

    async def _admin(self, msg: Msg) -> None:
        answer: Dict[str, Any] = {"ok": True, "instance": self._service.instance}
        headers: Dict[str, str] = {}
        try:
            answer.update(await self._operate(msg.data))
        except ServiceError as e:
            answer.update(ok=False, code=e.code, error=e.text)
            headers = {"Nats-Service-Error-Code": str(e.code), "Nats-Service-Error": line(e.text)}
        if msg.reply:
            try:
                self._presence.nats.publish(msg.reply, json.dumps(answer).encode(), headers)
            except NatsError as e:
                log.warning("lost an admin answer: %s", e)

    async def _operate(self, body: bytes) -> Dict[str, Any]:
        service = self._service
        try:
            op = json.loads(body)["op"]
        except (ValueError, KeyError, TypeError):
            raise ServiceError(INVALID_ARGUMENT, 'an admin request is a JSON object with "op"') from None
        if op in ("drain", "undrain"):
            try:
                await (self._presence.drain() if op == "drain" else self._presence.undrain())
            except (NatsError, EtcdError, asyncio.TimeoutError) as e:
                raise ServiceError(UNAVAILABLE, f"not {op}ed: {e}") from None
            return {}
        if op == "stop":
            asyncio.get_running_loop().call_soon(service.told_to_stop)  # after the answer
            return {}
        if op == "stats":
            s = service.stats
            stalled = {"stalled_seconds": round(self._presence.stalled, 3)} if self._presence.stalled else {}
            return {
                "service": {"in_flight": s.in_flight, "handled": s.requests - s.in_flight, "failed": s.failed, "players": service.players(), **stalled},
                "bus": {"in_flight": s.in_flight, "requests": s.requests, "refused": s.refused, "failed": s.failed},
            }
        if op == "scripts":
            return {"scripts": {}}
        if op in ("prepare", "commit", "abort"):
            raise ServiceError(FAILED_PRECONDITION, "a Python service has no scripts: restart it with its new code")
        raise ServiceError(UNIMPLEMENTED, f"unknown operation {op!r}: want drain, undrain, stop, stats or scripts")

    def serve_micro(self) -> None:
        """Subscribes to the requests of NATS micro."""
        name = f"wind-{self._service.kind}"
        for verb, describe in (("PING", self._ping), ("INFO", self._info), ("STATS", self._stats)):
            for of in ("", f".{name}", f".{name}.{self.id}"):
                def answer(msg: Msg, describe: Callable[[], Dict[str, Any]] = describe) -> None:
                    if msg.reply:
                        self._presence.nats.publish(msg.reply, json.dumps(describe()).encode())
                self._presence.subscribe(f"micro {verb}{of}", f"$SRV.{verb}{of}", answer)

    def _micro(self, kind: str) -> Dict[str, Any]:
        s = self._service
        meta = {"cluster": s.cluster, "type": s.kind, "instance": s.instance, "language": "python"}
        return {"type": MICRO + kind, "name": f"wind-{s.kind}", "id": self.id, "version": s.version, "metadata": meta}

    def _ping(self) -> Dict[str, Any]:
        return self._micro("ping_response")

    def _endpoints(self) -> List[Dict[str, Any]]:
        return [
            {"name": n, "subject": s, "queue_group": "any" if n == "any" else "", "metadata": None}
            for n, s in self._service.subjects.items() if n in self._presence.subscriptions
        ]

    def _info(self) -> Dict[str, Any]:
        about = f"instance {self._service.instance} of the Wind service {self._service.kind}"
        return {**self._micro("info_response"), "description": about, "endpoints": self._endpoints()}

    def _stats(self) -> Dict[str, Any]:
        s = self._service.stats
        endpoints = self._endpoints()
        for k, e in enumerate(endpoints):
            del e["metadata"]
            mine = k == 0  # the first endpoint counts all requests
            nanos = int(s.seconds * 1e9) if mine else 0
            n = s.requests if mine else 0
            e.update(
                num_requests=n, num_errors=s.failed if mine else 0, last_error=s.last_error if mine else "",
                processing_time=nanos, average_processing_time=nanos // n if n else 0,
            )
        return {**self._micro("stats_response"), "started": self._service.started, "endpoints": endpoints}
