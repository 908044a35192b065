"""What `perdure init` writes."""

from __future__ import annotations

import json
from collections.abc import Sequence

APP = '''"""A small workflow to begin with: `perdure run app:greet --arg you`."""

from perdure import function, sleep, workflow


@function(retries=3, timeout="30s")
async def compose(name: str) -> str:
    """A step: what it returns is kept, and it is tried again when it fails."""
    return f"Hello, {name}!"


@function
def count(text: str) -> int:
    """A plain function is called as a step with .step(…), and runs in a thread."""
    return len(text)


@workflow
async def greet(name: str = "world") -> dict[str, str | int]:
    """Ordinary async code. Kill its worker at any point: it goes on where it was."""
    text = await compose(name)
    await sleep("1s")  # durable: no process has to wait for this
    return {"text": text, "letters": await count.step(text)}
'''

_TOML = """\
# Settings of this project. A line that is commented out shows the default.
# The command line and the environment (PERDURE_LOG_LEVEL=debug) win over this file.

# The modules that workers import when they start. Code that is not named here is imported when a
# run needs it.
{modules}

# store = ".perdure/perdure.db"   # or "postgresql://host/name"
# durability = "full"             # "process": faster, but a power cut may cost the last moments

[worker]
# drain = "30s"                   # how long a worker that stops waits for steps that run
# idle_exit = "10m"               # when the background worker ends, if nothing is left to do

[log]
# level = "info"                  # debug, info, warning, error
# format = "plain"                # "json": one object per line
"""


def perdure_toml(modules: Sequence[str]) -> str:
    """A perdure.toml that says what can be said.

    Args:
        modules: What the workers import; none: the line is a comment.
    """
    line = f"modules = {json.dumps(list(modules))}" if modules else '# modules = ["app"]'
    return _TOML.format(modules=line)
