"""Tests of /healthz and /metrics."""

from __future__ import annotations

import asyncio
import json
import logging
import unittest
import urllib.error
import urllib.request
from typing import Tuple

import windservice as ws
from livetest import ETCD, LONG, NATS, Live, Proxy
from windhttp import BUCKETS


def get(url: str) -> Tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=LONG) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        with e:
            return e.code, e.read().decode()


class HttpTest(Live):
    async def asyncSetUp(self) -> None:
        await super().asyncSetUp()
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        self.proxy = Proxy()
        self.other, _ = self.make("test-2", http="127.0.0.1:0")
        await self.other.start(await self.proxy.start(NATS), ETCD)

    async def asyncTearDown(self) -> None:
        await self.other.leave()
        await self.proxy.stop()
        await super().asyncTearDown()

    async def get(self, path: str) -> Tuple[int, str]:
        assert self.other._http is not None
        return await asyncio.to_thread(get, f"http://{self.other._http.address}{path}")

    async def test_health_is_told(self) -> None:
        await self.ask("EchoRequest", {}, "id.test-2", player="alice", session="gw/1")
        status, text = await self.get("/healthz")
        h = json.loads(text)
        self.assertEqual((status, h["healthy"], h["conditions"], h["node"]), (200, True, [], "test-2"))
        self.assertEqual(h["services"], [{"type": "test", "instance": "test-2", "state": "up", "players": h["services"][0]["players"], "in_flight": 0, "waiting": 0, "modules": 0, "scripts": ""}])
        await self.other.drain()
        self.assertEqual(json.loads((await self.get("/healthz"))[1])["services"][0]["state"], "draining")
        self.proxy.open = False
        self.proxy.cut()

        async def sick() -> bool:
            status, text = await self.get("/healthz")
            if status == 200:
                return False
            h = json.loads(text)
            self.assertEqual((status, h["healthy"], [c["kind"] for c in h["conditions"]]), (503, False, ["waiting-for-nats"]))
            self.assertRegex(h["conditions"][0]["text"], "^NATS has not answered this instance since .*: check that NATS runs")
            return True

        await self.eventually(sick)
        self.proxy.open = True

        async def well() -> bool:
            return (await self.get("/healthz"))[0] == 200

        await self.eventually(well)
        self.assertEqual(await self.get("/x"), (404, "404 page not found\n"))

    async def test_players_are_those_of_the_directory(self) -> None:
        async def players() -> int:
            found = json.loads((await self.get("/healthz"))[1])["services"][0]["players"]
            return int(found) if found == ((await self.entry("test-2")) or {}).get("players") else -1

        async def one() -> bool:
            return await players() == 1

        async def bound() -> bool:
            return await players() == 7 + 2

        await self.ask("EchoRequest", {}, "id.test-2", player="alice", session="gw/1")
        await self.eventually(one)
        lease = await self.etcd.grant(60)
        for gateway, entry in (("a", {"bound": {"test/test-2": 7, "test/test-1": 1}}), ("b", {"bound": {"test/test-2": 2}}), ("c", {}), ("d", {"bound": {"test/test-2": "x"}})):
            await self.etcd.create(f"/wind/{self.cluster}/services/gateway/{gateway}", json.dumps(entry), lease)
        await self.eventually(bound)
        await self.etcd.revoke(lease)
        await self.eventually(one)

    async def test_metrics_are_told(self) -> None:
        player = {"player": "alice", "session": "gw/1"}
        for _ in range(2):
            await self.ask("EchoRequest", {}, "id.test-2", **player)
        await self.refused(ws.ALREADY_EXISTS, "EchoRequest", {"text": "fail"}, "id.test-2", **player)
        await self.refused(ws.UNIMPLEMENTED, "NoSuchRequest", {}, "id.test-2", **player)
        status, text = await self.get("/metrics")
        labels = 'instance="test-2",service="test"'
        for line in (
            f'wind_rpc_requests_total{{{labels},message="EchoRequest",code="ok"}} 2', f'wind_rpc_requests_total{{{labels},message="EchoRequest",code="already exists"}} 1',
            f'wind_rpc_requests_total{{{labels},message="unknown",code="unimplemented"}} 1', f'wind_rpc_seconds_bucket{{{labels},message="EchoRequest",le="+Inf"}} 3',
            f'wind_rpc_seconds_count{{{labels},message="EchoRequest"}} 3', f"wind_rpc_players{{{labels}}} 1", f"wind_rpc_in_flight{{{labels}}} 0",
            f"wind_rpc_stalled_seconds{{{labels}}} 0", f"wind_rpc_waiting{{{labels}}} 0",
        ):
            self.assertIn(line + "\n", text)
        self.assertEqual((status, text.count("_bucket{")), (200, len(BUCKETS) + 1))

    async def test_where_it_cannot_listen_it_does_not_start(self) -> None:
        assert self.other._http is not None
        for address, said in ((self.other._http.address, "http: cannot listen on 127.0.0.1:.*: Address already in use"), ("9100", "is not an address: write host:port"), ("a:99999", "is not an address")):
            with self.assertRaisesRegex(ValueError, said):
                await self.make("test-3", http=address)[0].start(NATS, ETCD)


if __name__ == "__main__":
    unittest.main()
