"""The deterministic loop that runs a workflow body: events in, commands out."""

from perdure.machine.machine import MAX_HANDLES, Machine, Pending, Target, current

__all__ = ["MAX_HANDLES", "Machine", "Pending", "Target", "current"]
