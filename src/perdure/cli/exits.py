"""The exit codes of every command, in one place."""

from __future__ import annotations

OK = 0
"""It is done; the run completed."""
FAILED = 1
"""The run failed, was cancelled, or stands still; or Perdure itself could not do it."""
NOT_FOUND = 2
"""There is no such run, project, module or command; or the command was used in a wrong way."""
BAD_USE = NOT_FOUND
TIMEOUT = 124
"""Waiting took longer than `--timeout`; the run goes on."""
INTERRUPTED = 130
"""Ctrl-C; a run that was waited for goes on."""
