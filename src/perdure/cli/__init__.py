"""The command line. Nothing is imported before it is needed: commands are found by name in
`root`, and a command imports what it uses when it is called."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command that the process was given, and exit with its code."""
    import sys

    from perdure.cli.shell import execute

    sys.exit(execute(sys.argv[1:]))
