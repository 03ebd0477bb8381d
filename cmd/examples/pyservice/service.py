#!/usr/bin/env python3
"""The Wind service "translate" in Python. README.md says how to run it."""

import sys

import translate_handlers
import translate_server_handlers
import translate_wind
from windmain import main

if __name__ == "__main__":
    sys.exit(main("translate", translate_wind, client=translate_handlers, server=translate_server_handlers, public=("TranslateRequest",)))
