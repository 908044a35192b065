"""One place where a command line becomes an exit code, and every error one sentence on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from perdure.cli import exits
from perdure.cli.root import root

if TYPE_CHECKING:
    from perdure.core.errors import PerdureError


def execute(arguments: Sequence[str], *, prog_name: str = "perdure") -> int:
    """Run one command line.

    Args:
        arguments: The words after the program's name.
        prog_name: How the program calls itself in messages.

    Returns:
        The exit code, see `exits`.
    """
    try:
        code = root.main(list(arguments), prog_name=prog_name, standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return exits.BAD_USE
    except click.ClickException as error:
        return _refuse(error)
    except (click.Abort, KeyboardInterrupt):
        click.echo("perdure: interrupted", err=True)
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough (`perdure list | head`). What is still buffered
        # must not raise again when the interpreter flushes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.FAILED
    except Exception as error:
        from perdure.core.errors import PerdureError  # `--help` has no use for it

        if not isinstance(error, PerdureError):
            raise
        complain(str(error))
        return code_of(error)
    return code if isinstance(code, int) else exits.OK


def code_of(error: PerdureError) -> int:
    """The exit code that an error means."""
    from perdure.core.errors import DiscoveryError, UsageError

    return exits.BAD_USE if isinstance(error, UsageError | DiscoveryError) else exits.FAILED


def complain(sentence: str) -> None:
    """Say on stderr what is wrong."""
    click.echo(f"perdure: {sentence}", err=True)


def _refuse(error: click.ClickException) -> int:
    sentence = error.format_message().rstrip(".")
    if sentence[:1].isupper() and sentence[1:2].islower():
        sentence = sentence[0].lower() + sentence[1:]
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        sentence += f"; see {context.command_path} --help"
    complain(sentence)
    return exits.BAD_USE
