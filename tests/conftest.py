"""What holds for all tests."""

from __future__ import annotations

import os
import signal

# Whoever starts the tests in the background (a shell's `&`, some CI runners) has SIGINT ignored, and
# every child would inherit that: then there is no Ctrl-C to be tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Many tests leave runs behind on purpose; those that want a background worker ask for it.
os.environ.setdefault("PERDURE_WORKER_AUTOSTART", "false")
