"""An entry in Wind's directory of services: etcd through its JSON gateway, with the standard library alone.

The entry stands at /wind/<cluster>/services/<type>/<id> under a lease of its own, so it goes when the process does. A
lease that ran out is replaced, and the entry is written again.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import urllib.error
import urllib.request
from typing import Any, Callable, Dict, List, Optional

log = logging.getLogger("windetcd")

CALL_TIMEOUT = 3.0  # seconds
REPORT_EVERY = 0.5  # seconds between two writes of an entry


class EtcdError(Exception):
    """etcd did not do what it was asked to. `code` is its own, 5 being "not found"."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


NOT_FOUND = 5


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Etcd:
    """Calls to one of several endpoints: http://host:port, or several with commas."""

    def __init__(self, urls: str) -> None:
        self._urls: List[str] = [u.strip().rstrip("/") if "//" in u else "http://" + u.strip() for u in urls.split(",")]

    async def call(self, path: str, body: Dict[str, Any]) -> Dict[str, Any]:
        """Posts JSON to the first endpoint that answers. A refusal is an EtcdError with a code, silence one without."""
        failure = EtcdError("no endpoint")
        for _ in range(len(self._urls)):
            try:
                return await asyncio.get_running_loop().run_in_executor(None, self._post, self._urls[0] + path, body)
            except EtcdError as e:
                if e.code:
                    raise
                failure = e
                self._urls.append(self._urls.pop(0))
        raise failure

    @staticmethod
    def _post(url: str, body: Dict[str, Any]) -> Dict[str, Any]:
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=CALL_TIMEOUT) as answer:
                parsed = json.loads(answer.read())
        except urllib.error.HTTPError as e:
            text = e.read().decode("utf-8", "replace")
            try:
                said = json.loads(text)
                raise EtcdError(f"{url}: {said.get('message', text)}", int(said.get("code", 0))) from None
            except (ValueError, AttributeError):
                raise EtcdError(f"{url}: {e.code} {text[:200]}") from None
        except (OSError, ValueError) as e:
            raise EtcdError(f"etcd does not answer at {url}: {e}") from None
        if not isinstance(parsed, dict):
            raise EtcdError(f"{url}: the answer is no JSON object")
        return parsed

    async def grant(self, ttl: int) -> str:
        """Takes a lease of `ttl` seconds and returns its id; the server may make it longer."""
        answer = await self.call("/v3/lease/grant", {"TTL": str(ttl)})
        return str(answer["ID"])

    async def keep_alive(self, lease: str) -> bool:
        """Renews a lease; False: there is none any more."""
        answer = await self.call("/v3/lease/keepalive", {"ID": lease})
        return int(answer.get("result", {}).get("TTL", "0")) > 0

    async def revoke(self, lease: str) -> None:
        """Gives a lease back, and with it whatever hangs on it."""
        await self.call("/v3/lease/revoke", {"ID": lease})

    async def put(self, key: str, value: str, lease: str) -> None:
        """Writes a key that goes with the lease."""
        await self.call("/v3/kv/put", {"key": _b64(key), "value": _b64(value), "lease": lease})

    async def get(self, key: str) -> Optional[str]:
        """Reads a key; None: it is not there."""
        kvs = (await self.call("/v3/kv/range", {"key": _b64(key)})).get("kvs", [])
        return base64.b64decode(kvs[0]["value"]).decode() if kvs else None


class Registration:
    """Keeps an entry in the directory. `entry` is its JSON; change it through update."""

    def __init__(self, etcd: Etcd, cluster: str, entry: Dict[str, Any], ttl: int = 5) -> None:
        self.key = f"/wind/{cluster}/services/{entry['type']}/{entry['id']}"
        self.entry = entry
        self._etcd, self._ttl = etcd, ttl
        self._lease, self._written = "", ""
        self._changed = asyncio.Event()
        self._tasks: List[asyncio.Task[None]] = []

    async def register(self) -> None:
        """Writes the entry, or raises EtcdError, and keeps it from then on."""
        self._lease = await self._etcd.grant(self._ttl)
        await self._write()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep()), loop.create_task(self._report())]

    def update(self, change: Callable[[Dict[str, Any]], None]) -> None:
        """Changes the entry. Writes are at least half a second apart, and the last state wins."""
        change(self.entry)
        self._changed.set()

    async def flush(self) -> None:
        """Writes the entry now, if it has changed."""
        await self._write()

    async def close(self) -> None:
        """Takes the entry away."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._etcd.revoke(self._lease)
        except EtcdError as e:
            if e.code != NOT_FOUND:
                log.warning("the entry goes when its lease runs out: %s", e)

    async def _write(self) -> None:
        value = json.dumps(self.entry, separators=(",", ":"))
        if value + self._lease != self._written:
            lease = self._lease
            await self._etcd.put(self.key, value, lease)
            self._written = value + lease

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY)
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._write()
            except EtcdError as e:
                log.warning("the entry is not written, it is tried again: %s", e)
                self._changed.set()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._ttl / 6)
            try:
                if not await self._renew():
                    log.warning("the lease of %s ran out, a new one is taken", self.key)
                    self._lease = await self._etcd.grant(self._ttl)
                    self._changed.set()
            except (EtcdError, KeyError, ValueError) as e:
                log.warning("the lease of %s was not renewed: %s", self.key, e)

    async def _renew(self) -> bool:
        try:
            return await self._etcd.keep_alive(self._lease)
        except EtcdError as e:
            if e.code == NOT_FOUND:
                return False
            raise
