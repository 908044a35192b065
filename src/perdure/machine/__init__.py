"""The deterministic loop that runs a workflow body: events in, commands out.

Importing this package puts the shapes of `shapes` in front of asyncio's own (see `shims`).
"""

from perdure.machine.machine import MAX_HANDLES, Machine, current
from perdure.machine.pending import Pending, Target
from perdure.machine.shims import install

install()

__all__ = ["MAX_HANDLES", "Machine", "Pending", "Target", "current"]
