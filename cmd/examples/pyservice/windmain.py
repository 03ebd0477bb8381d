"""The command line of a service:

    sys.exit(main("bank", bank_wind, client=bank_handlers, login=("LoginRequest",)))

A flag that is absent takes its value from its environment variable, as wind's own flags do: WIND_NATS for --nats.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import socket
import sys
from typing import Any, List, Optional, Tuple

from windcodec import Messages
from windetcd import EtcdError
from windnats import NatsError
from windservice import Service


def urls(data: str) -> Tuple[str, str]:
    """Returns the URLs of NATS, with the nodes' password, and of etcd. `wind infra` and `wind dev` write them into their data
    directory while they run: {"nats": "nats://node:…@127.0.0.1:4222", "etcd": "http://127.0.0.1:2379"} in servers.json."""
    path = os.path.join(data, "servers.json")
    try:
        with open(path, encoding="utf-8") as f:
            found = json.load(f)
        return str(found["nats"]), str(found["etcd"])
    except FileNotFoundError:
        raise ValueError(f"no servers run on {data}: name a running one's directory with --data, or servers with --nats and --etcd") from None
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ValueError(f"cannot read {path}: {e!r}: give --nats and --etcd") from None


def _servers(a: argparse.Namespace) -> Tuple[str, str]:
    """Returns the URLs of NATS and etcd. Flags count more than the environment, and URLs more than --data."""
    nats, etcd = (a.nats, a.etcd) if a.data else (a.nats or _env("nats"), a.etcd or _env("etcd"))
    if nats and etcd:
        return nats, etcd
    found = urls(a.data or _env("data") or "./wind-data")
    return nats or found[0], etcd or found[1]


def _env(flag: str) -> Optional[str]:
    return os.environ.get("WIND_" + flag.upper()) or None


def _arguments(kind: str, argv: Optional[List[str]]) -> argparse.Namespace:
    p = argparse.ArgumentParser(description=f"Runs an instance of the service {kind}.", epilog="Each flag has an environment variable: WIND_NATS for --nats.")
    p.add_argument("--nats", help="URL of NATS as wind infra prints it, nats://user:password@host:port (default: the one in --data)")
    p.add_argument("--etcd", help="URLs of etcd, comma-separated (default: those in --data)")
    p.add_argument("--data", help="data directory of a running wind infra or wind dev (default: ./wind-data)")
    p.add_argument("--cluster", default=_env("cluster") or "dev", help="name of the cluster (default: dev)")
    p.add_argument("--id", default=_env("id"), help="this instance's id: a-z, 0-9 and the dash (default: from type, host and process)")
    p.add_argument("--capacity", type=int, default=_env("capacity"), help="maximum number of players on the instance, 0 for no limit")
    p.add_argument("--selector", default=_env("selector"), help="how players are spread over the instances (default: least)")
    p.add_argument("--http", default=_env("http"), help="host:port for /healthz and /metrics (default: none)")
    p.add_argument("--verbose", action="store_true", help="log more")
    return p.parse_args(argv)


def main(kind: str, messages: Messages, *, client: Any = (), server: Any = (), argv: Optional[List[str]] = None, **options: Any) -> int:
    """Runs an instance until SIGTERM or Ctrl-C, or until another process takes its name. `client` and `server` are modules
    with handlers, or tuples of them; `options` are Service's. Returns the exit code: 0 done, 1 failed."""
    a = _arguments(kind, argv)
    logging.basicConfig(level=logging.DEBUG if a.verbose else logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    for flag in ("capacity", "selector", "http"):
        if getattr(a, flag) is not None:
            options[flag] = getattr(a, flag)
    try:
        service = Service(kind, a.id or _name(kind), messages, cluster=a.cluster, **options)
        for module in client if isinstance(client, (list, tuple)) else [client]:
            service.client_handlers(module)
        for module in server if isinstance(server, (list, tuple)) else [server]:
            service.server_handlers(module)
        service.check()
        asyncio.run(service.run(*_servers(a), exits=True))
    except (NatsError, EtcdError, ValueError) as e:
        print(f"the service stopped: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before it could catch the signal
        return 130
    return 0


def _name(kind: str) -> str:
    """Returns an instance's id from its type, the host and the process."""
    host = "".join(c if c.isascii() and c.isalnum() else "-" for c in socket.gethostname().lower())
    tail = f"-{os.getpid()}"
    return f"{kind}-{host}"[:60 - len(tail)] + tail
