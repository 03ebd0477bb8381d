"""/healthz and /metrics of an instance, as Go's nodes serve them, and the counts behind them."""

from __future__ import annotations

import json
import threading
from bisect import bisect_left
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Dict, List, Tuple

if TYPE_CHECKING:
    from windservice import Service

CODES = {
    0: "ok", 1: "canceled", 2: "unknown", 3: "invalid argument", 4: "deadline exceeded", 5: "not found", 6: "already exists", 7: "permission denied",
    8: "resource exhausted", 9: "failed precondition", 10: "aborted", 12: "unimplemented", 13: "internal", 14: "unavailable", 16: "unauthenticated",
}
BUCKETS = [20e-6 * 4 ** k for k in range(10)]  # seconds


@dataclass
class Stats:
    """Counts of a service. `refused` requests never started; `failed` ones were answered with an error."""

    requests: int = 0
    refused: int = 0
    failed: int = 0
    in_flight: int = 0  # accepted and not answered
    running: int = 0  # handlers
    seconds: float = 0.0  # spent in handlers
    last_error: str = ""
    codes: Dict[Tuple[str, int], int] = field(default_factory=dict)  # (message, code) → requests
    times: Dict[str, List[float]] = field(default_factory=dict)  # message → requests by BUCKETS, those beyond, and their seconds

    def count(self, message: str, code: int) -> None:
        """Counts an answer. Messages without a handler are "unknown", because clients choose names."""
        self.codes[message, code] = self.codes.get((message, code), 0) + 1
        if code:
            self.failed += 1

    def observe(self, message: str, seconds: float) -> None:
        """Counts the time that a handler took."""
        self.seconds += seconds
        of = self.times.setdefault(message, [0.0] * (len(BUCKETS) + 2))
        of[bisect_left(BUCKETS, seconds)] += 1
        of[-1] += seconds


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's looks its name up, which may take long


class Http:
    """Serves /healthz and /metrics on host:port, from threads of its own."""

    def __init__(self, service: "Service", address: str) -> None:
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"http {address!r} is not an address: write host:port, such as 127.0.0.1:9100")
        try:
            self._server = _Server((host, int(port)), _handler(service))
        except OSError as e:
            raise ValueError(f"http: cannot listen on {address}: {e.strerror or e}") from None
        self.address = f"{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="wind http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()


def _handler(service: "Service") -> type:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5  # seconds for a request

        def do_GET(self) -> None:
            if self.path == "/healthz":
                health = service.health()
                self._send(200 if health["healthy"] else 503, "application/json", json.dumps(health) + "\n")
            elif self.path == "/metrics":
                self._send(200, "text/plain; version=0.0.4; charset=utf-8", metrics(service))
            else:
                self._send(404, "text/plain; charset=utf-8", "404 page not found\n")

        def _send(self, status: int, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def metrics(service: "Service") -> str:
    """Returns the service's metrics in Prometheus' text format, with the names that Go's services have."""
    s, out = service.stats, []
    labels = f'instance="{service.instance}",service="{service.kind}"'

    def family(name: str, kind: str, text: str, *rows: Tuple[str, str, float]) -> None:
        out.extend([f"# HELP {name} {text}", f"# TYPE {name} {kind}"])
        out.extend(f"{name}{suffix}{{{labels}{more}}} {value:g}" if value != int(value) else f"{name}{suffix}{{{labels}{more}}} {int(value)}" for suffix, more, value in rows)

    family(
        "wind_rpc_requests_total", "counter", "Requests, by message and how they ended.",
        *(("", f',message="{m}",code="{CODES.get(c, str(c))}"', n) for (m, c), n in sorted(s.codes.items())),
    )
    rows: List[Tuple[str, str, float]] = []
    for message, of in sorted(s.times.items()):
        of, total = list(of), 0.0
        for bound, n in zip([f"{b:g}" for b in BUCKETS] + ["+Inf"], of):
            total += n
            rows.append(("_bucket", f',message="{message}",le="{bound}"', total))
        rows += [("_sum", f',message="{message}"', of[-1]), ("_count", f',message="{message}"', total)]
    family("wind_rpc_seconds", "histogram", "Time from a handler's beginning to its answer.", *rows)
    family("wind_rpc_in_flight", "gauge", "Handlers that run or are suspended.", ("", "", s.running))
    family("wind_rpc_waiting", "gauge", "Requests that have not begun.", ("", "", service.waiting()))
    family("wind_rpc_stalled_seconds", "gauge", "How long a handler has held the thread; 0 unless stalled.", ("", "", service.stalled()))
    family("wind_rpc_players", "gauge", "Players with recent requests.", ("", "", service.players()))
    return "\n".join(out) + "\n"
