#!/usr/bin/env python3
"""The Wind service "translate" in Python. README.md says how to run it."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import socket
import sys
from typing import Tuple

import translate_handlers
import translate_server_handlers
import translate_wind
from windetcd import EtcdError
from windnats import NatsError
from windservice import Service


def servers(data: str) -> Tuple[str, str]:
    """Returns the addresses of NATS and etcd from the data directory of a running `wind infra` or `wind dev`."""
    with open(os.path.join(data, "servers.json"), encoding="utf-8") as f:
        found = json.load(f)
    return found["nats"], found["etcd"]


def arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="./wind-data", help="data directory of a running wind infra or wind dev")
    parser.add_argument("--nats", help="address of NATS as wind infra prints it, nats://user:password@host:port")
    parser.add_argument("--etcd", help="address of etcd as wind infra prints it, http://host:port")
    parser.add_argument("--cluster", default="dev", help="name of the cluster")
    parser.add_argument("--instance", help="name of this instance: a-z, 0-9 and the dash (default: from host and process)")
    parser.add_argument("--capacity", type=int, default=0, help="maximum number of players on the instance (0: no limit)")
    parser.add_argument("--selector", default="", help="how players are spread over the instances (default: least)")
    parser.add_argument("--verbose", action="store_true", help="log more")
    return parser.parse_args()


def main() -> int:
    """Runs until SIGTERM or Ctrl-C, or until another process takes its name. Returns the exit code: 0 done, 1 failed."""
    a = arguments()
    logging.basicConfig(level=logging.DEBUG if a.verbose else logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        nats, etcd = (a.nats, a.etcd) if a.nats and a.etcd else servers(a.data)
    except (OSError, ValueError, KeyError) as e:
        print(f"cannot find the servers: {e}: start wind infra and name its directory with --data, or give --nats and --etcd", file=sys.stderr)
        return 1
    host = "".join(c if c.isascii() and c.isalnum() else "-" for c in socket.gethostname().lower())[:40]
    try:
        service = Service(
            "translate", a.instance or f"translate-{host}-{os.getpid()}", translate_wind,
            cluster=a.cluster, public=("TranslateRequest",), capacity=a.capacity, selector=a.selector,
        )
        service.client_handlers(translate_handlers)
        service.server_handlers(translate_server_handlers)
        asyncio.run(service.run(nats, etcd))
    except (NatsError, EtcdError, ValueError) as e:
        print(f"the service stopped: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
