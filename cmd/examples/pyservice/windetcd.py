"""An entry in Wind's directory of services: etcd through its JSON gateway, with the standard library alone.

The entry is at /wind/<cluster>/services/<type>/<id> under its own lease, so it expires when the process dies. If the
lease runs out, the library takes a new one and writes the entry again. It never overwrites an entry under the lease of
another process: two instances with one name would both execute the same requests.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Set

log = logging.getLogger("windetcd")

CALL_TIMEOUT = 3.0  # seconds
REPORT_EVERY = 0.5  # seconds between two writes of an entry
LOOK_EVERY = 0.2  # seconds between two looks at an entry that may expire


class EtcdError(Exception):
    """A call to etcd failed. `code` is etcd's, 5 for "not found", or 0 without one."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


NOT_FOUND = 5


class Taken(EtcdError):
    """Another process has the instance's name."""


@dataclass
class Value:
    """The value of a key, and its lease: "0" without one."""

    text: str
    lease: str


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Etcd:
    """Calls to one of several endpoints: http://host:port, or a comma-separated list of them."""

    def __init__(self, urls: str) -> None:
        self._urls: List[str] = [u.strip().rstrip("/") if "//" in u else "http://" + u.strip() for u in urls.split(",")]

    async def call(self, path: str, body: Dict[str, Any]) -> Dict[str, Any]:
        """Posts JSON to the first endpoint that answers. Raises an EtcdError, with a code if an endpoint refused, without one
        if none answered."""
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
            raise EtcdError(f"{url}: the answer is not a JSON object")
        return parsed

    async def grant(self, ttl: int) -> str:
        """Takes a lease of `ttl` seconds and returns its id. The server may grant a longer one."""
        answer = await self.call("/v3/lease/grant", {"TTL": str(ttl)})
        return str(answer["ID"])

    async def keep_alive(self, lease: str) -> bool:
        """Renews a lease. Returns False if it no longer exists."""
        answer = await self.call("/v3/lease/keepalive", {"ID": lease})
        return int(answer.get("result", {}).get("TTL", "0")) > 0

    async def revoke(self, lease: str) -> None:
        """Revokes a lease and deletes its keys."""
        await self.call("/v3/lease/revoke", {"ID": lease})

    async def granted(self, lease: str) -> float:
        """Returns the granted time to live of a lease in seconds, or 0 if it no longer exists."""
        answer = await self.call("/v3/lease/timetolive", {"ID": lease})
        return float(answer.get("grantedTTL", 0))

    async def create(self, key: str, value: str, lease: str) -> bool:
        """Writes a key under the lease. Returns False if the key exists."""
        return await self._put_if({"target": "CREATE", "create_revision": "0"}, key, value, lease)

    async def replace(self, key: str, value: str, lease: str) -> bool:
        """Overwrites a key that is under the same lease. Returns False if it is not."""
        return await self._put_if({"target": "LEASE", "lease": lease}, key, value, lease)

    async def _put_if(self, compare: Dict[str, str], key: str, value: str, lease: str) -> bool:
        put = {"key": _b64(key), "value": _b64(value), "lease": lease}
        body = {"compare": [{"key": _b64(key), "result": "EQUAL", **compare}], "success": [{"request_put": put}]}
        return bool((await self.call("/v3/kv/txn", body)).get("succeeded"))

    async def look(self, key: str) -> Optional[Value]:
        """Returns a key's value and lease, or None if the key does not exist."""
        kvs = (await self.call("/v3/kv/range", {"key": _b64(key)})).get("kvs", [])
        return Value(base64.b64decode(kvs[0].get("value", "")).decode("utf-8", "replace"), str(kvs[0].get("lease", "0"))) if kvs else None

    async def under(self, prefix: str) -> List[str]:
        """Returns the values of all keys that begin with a prefix."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        found = (await self.call("/v3/kv/range", {"key": _b64(prefix), "range_end": _b64(end)})).get("kvs", [])
        return [base64.b64decode(kv.get("value", "")).decode("utf-8", "replace") for kv in found]

    async def get(self, key: str) -> Optional[str]:
        """Returns a key's text, or None if the key does not exist."""
        found = await self.look(key)
        return None if found is None else found.text


def _parsed(text: str) -> Dict[str, Any]:
    """Returns an entry of the directory, which anybody may have written."""
    try:
        entry = json.loads(text)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


class Registration:
    """Keeps an entry in the directory. `entry` is its JSON; change it through update. It calls `lost`, once, if another
    process has taken the name, so that it cannot keep the entry. Use it only from the event loop that created it."""

    def __init__(self, etcd: Etcd, cluster: str, entry: Dict[str, Any], ttl: int = 5, lost: Optional[Callable[[Taken], None]] = None) -> None:
        self.key = f"/wind/{cluster}/services/{entry['type']}/{entry['id']}"
        self.entry = entry
        self._etcd, self._ttl, self._lost = etcd, ttl, lost
        self._lease, self._written = "", ("", "")  # _written: the entry and the lease that are in etcd
        self._leases: Set[str] = set()  # all that this process has had
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()
        self._tasks: List[asyncio.Task[None]] = []
        self.failing = False  # etcd does not renew the lease

    async def free(self) -> None:
        """Waits until the name is free: a dead process keeps it until its lease expires. Raises Taken if the holder is alive."""
        end = 0.0
        while True:
            found = await self._etcd.look(self.key)
            if found is None:
                return
            now = time.monotonic()
            if not end:
                wait = await self._etcd.granted(found.lease) + 1
                end = now + wait
                log.warning("%s already exists: if its process has died, it expires within %g s", self.key, wait)
            elif now > end:
                raise self._taken(found)
            await asyncio.sleep(LOOK_EVERY)

    async def distinct(self) -> None:
        """Raises EtcdError if another type of service uses an id of this one's messages for another message: players'
        requests would reach the wrong one."""
        mine = {m["id"]: m["name"] for m in self.entry["methods"] if m["id"]}
        for text in await self._etcd.under(self.key.rpartition("/")[0].rpartition("/")[0] + "/"):
            other = _parsed(text)
            methods = other.get("methods")
            for m in methods if isinstance(methods, list) and other.get("type") != self.entry["type"] else ():
                number, name = (m.get("id"), m.get("name")) if isinstance(m, dict) else (0, "")
                if isinstance(number, int) and mine.get(number, name) != name:
                    raise EtcdError(
                        f"{mine[number]} has the id {number}, which {name} of service {other.get('type')} (instance {other.get('id')}) has already: "
                        "give it another id"
                    )

    async def bound(self) -> Optional[int]:
        """Returns how many players the gateways have bound to the instance, or None without a gateway."""
        gateways = [_parsed(text) for text in await self._etcd.under(self.key.rpartition("/")[0].rpartition("/")[0] + "/gateway/")]
        counts = [g["bound"].get(f"{self.entry['type']}/{self.entry['id']}", 0) for g in gateways if isinstance(g.get("bound"), dict)]
        return sum(n for n in counts if isinstance(n, int)) if gateways else None

    async def register(self) -> None:
        """Writes the entry and keeps it from then on. Raises EtcdError, or Taken if the entry exists."""
        await self._take_lease()
        try:
            await self._write()
        except BaseException:
            await self._give_back()
            raise
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
        """Removes the entry."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._give_back()

    async def _take_lease(self) -> None:
        self._lease = await self._etcd.grant(self._ttl)
        self._leases.add(self._lease)

    async def _give_back(self) -> None:
        try:
            await self._etcd.revoke(self._lease)
        except EtcdError as e:
            if e.code != NOT_FOUND:
                log.warning("cannot remove the entry, it expires with its lease: %s", e)

    async def _write(self) -> None:
        async with self._writing:
            value, lease = json.dumps(self.entry, separators=(",", ":")), self._lease
            if (value, lease) == self._written:
                return
            if self._written[1] != lease or not await self._etcd.replace(self.key, value, lease):
                await self._create(value, lease)
            self._written = value, lease

    async def _create(self, value: str, lease: str) -> None:
        """Creates the entry, or overwrites it if an earlier attempt of ours did write it although the call failed."""
        if await self._etcd.create(self.key, value, lease) or await self._etcd.replace(self.key, value, lease):
            return
        found = await self._etcd.look(self.key)
        if found is None or found.lease in self._leases:
            raise EtcdError("the entry under the former lease is just expiring")
        taken = self._taken(found)
        if self._lost is not None:
            lost, self._lost = self._lost, None
            lost(taken)
        raise taken

    def _taken(self, found: Value) -> Taken:
        holder = _parsed(found.text)
        return Taken(
            f"instance {self.entry['id']} of service {self.entry['type']} already runs on node {holder.get('node', '?')} since {holder.get('since', '?')}: "
            "give this one another id, or stop that one"
        )

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY)
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._write()
            except Taken:
                return  # lost has been called
            except EtcdError as e:
                log.warning("cannot write the entry, trying again: %s", e)
                self._changed.set()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._ttl / 6)
            try:
                if not await self._renew():
                    log.warning("the lease of %s ran out, taking a new one", self.key)
                    await self._take_lease()
                    self._changed.set()
                self.failing = False
            except (EtcdError, KeyError, ValueError) as e:
                self.failing = True
                log.warning("cannot renew the lease of %s: %s", self.key, e)

    async def _renew(self) -> bool:
        try:
            return await self._etcd.keep_alive(self._lease)
        except EtcdError as e:
            if e.code == NOT_FOUND:
                return False
            raise
