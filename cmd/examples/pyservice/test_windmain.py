"""Tests of the command line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
import unittest
from typing import Any, Dict
from unittest import mock

import translate_handlers
import translate_wind
import windmain


class MainTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.data, self.other = os.path.join(folder.name, "data"), os.path.join(folder.name, "other")
        for data, name in ((self.data, "data"), (self.other, "other")):
            os.mkdir(data)
            with open(os.path.join(data, "servers.json"), "w", encoding="utf-8") as f:
                json.dump({"nats": f"nats://{name}", "etcd": f"http://{name}"}, f)

    def servers(self, *argv: str, **environment: str) -> Any:
        with mock.patch.dict(os.environ, environment, clear=True):
            return windmain._servers(windmain._arguments("translate", list(argv)))

    def test_servers_are_found(self) -> None:
        there: Dict[str, str] = {"WIND_NATS": "nats://env", "WIND_ETCD": "http://env"}
        for argv, environment, want in (
            (("--data", self.data), {}, ("nats://data", "http://data")), ((), {"WIND_DATA": self.data}, ("nats://data", "http://data")),
            (("--nats", "nats://a", "--data", self.data), {}, ("nats://a", "http://data")), ((), there, ("nats://env", "http://env")),
            (("--data", self.data), there, ("nats://data", "http://data")), (("--etcd", "http://a"), there, ("nats://env", "http://a")),
            (("--data", self.data), {"WIND_DATA": self.other}, ("nats://data", "http://data")), ((), {**there, "WIND_DATA": self.other}, ("nats://env", "http://env")),
        ):
            with self.subTest((argv, environment)):
                self.assertEqual(self.servers(*argv, **environment), want)

    def test_servers_that_do_not_run_are_said(self) -> None:
        with self.assertRaisesRegex(ValueError, "^no servers run on /nowhere: name a running one's directory with --data, or servers with --nats and --etcd$"):
            self.servers("--data", "/nowhere")
        for text in ("", "[]", '{"nats":"x"}'):
            with open(os.path.join(self.data, "servers.json"), "w", encoding="utf-8") as f:
                f.write(text)
            with self.assertRaisesRegex(ValueError, "cannot read .*servers.json: .*: give --nats and --etcd"):
                self.servers("--data", self.data)

    def test_flags_have_environment_variables(self) -> None:
        with mock.patch.dict(os.environ, {"WIND_ID": "t-1", "WIND_CAPACITY": "7", "WIND_CLUSTER": "big", "WIND_SELECTOR": "bin-pack"}, clear=True):
            a = windmain._arguments("translate", ["--cluster", "small"])
        self.assertEqual((a.id, a.capacity, a.cluster, a.selector), ("t-1", 7, "small", "bin-pack"))

    def test_what_is_wrong_is_said_once(self) -> None:
        for argv, options, said in (
            (["--nats", "nats://127.0.0.1:1", "--etcd", "http://127.0.0.1:1"], {}, "the service stopped: NATS does not answer at 127.0.0.1:1"),
            (["--id", "A"], {}, "the service stopped: instance 'A' is not"), ([], {"login": ("TranslateRequst",)}, "(did you mean TranslateRequest?)"),
            (["--data", "/nowhere"], {}, "no servers run on /nowhere"),
        ):
            with contextlib.redirect_stderr(io.StringIO()) as err:
                self.assertEqual(windmain.main("translate", translate_wind, client=translate_handlers, argv=argv, **options), 1)
            self.assertIn(said, err.getvalue())
            self.assertNotIn("Traceback", err.getvalue())

    def test_an_instance_has_a_name(self) -> None:
        for kind in ("a", "x" * 40):
            self.assertTrue(re.fullmatch(r"[a-z0-9-]{1,60}", windmain._name(kind)))
            self.assertTrue(windmain._name(kind).endswith(str(os.getpid())))


if __name__ == "__main__":
    unittest.main()
