"""Inputs as a command line gives them: words, names with words, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from inspect import Parameter
from pathlib import Path
from typing import Any, cast

import click

from perdure.core.codec import JSON
from perdure.core.contract import Contract
from perdure.core.errors import ContractError


def read_inputs(
    contract: Contract, args: Sequence[str], kws: Sequence[str], given: str | None
) -> tuple[Sequence[Any], dict[str, Any]]:
    """Read the inputs of a call.

    Args:
        contract: What the call takes.
        args: Positional inputs, as words.
        kws: "name=word".
        given: All inputs: JSON, "@file" or "-" (stdin); None: not given.

    Raises:
        click.UsageError: The words cannot be read.
        ContractError: They do not fit the contract.
    """
    if given is None:
        missing = [one.name for one in contract.inputs.values() if one.is_required]
        if missing and not args and not kws:
            raise ContractError(
                f"{contract.name}() missing input{'s' if missing[1:] else ''} "
                f"{', '.join(map(repr, missing))}; give it by --arg VALUE, --kw {missing[0]}=VALUE "
                "or --input JSON",
                path=missing[0],
            )
        text = contract.parse_input(JSON, args, dict(_split(word) for word in kws))
        return contract.decode_input(JSON, text)
    if args or kws:
        raise click.UsageError("--input gives all inputs; leave --arg and --kw out, or --input")
    value = _json(given)
    if isinstance(value, list):
        value = _by_name(contract, cast("list[object]", value))
    if isinstance(value, dict):
        return contract.decode_input(JSON, json.dumps(value), strict=True)
    raise click.UsageError(
        f"--input is {json.dumps(value)}; write an object by parameter name, as in "
        '{"order": 42}, or an array by position, as in [42]'
    )


def _by_name(contract: Contract, items: list[object]) -> dict[str, Any]:
    """Positional inputs as the object by parameter name that a contract reads."""
    given: dict[str, Any] = {}
    for one in contract.inputs.values():
        if one.kind is Parameter.VAR_POSITIONAL:
            given[one.name], items = items, []
        elif items and one.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD):
            given[one.name], items = items[0], items[1:]
    if items:
        takes = ", ".join(contract.inputs) or "none"
        raise ContractError(
            f"{contract.name}() was given more inputs than it takes ({takes}); "
            f"the first one too many is {json.dumps(items[0])}"
        )
    return given


def _split(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name.isidentifier():
        raise click.UsageError(f"--kw {word!r} names no input; write NAME=VALUE, as in order=42")
    return name, value


def _json(given: str) -> Any:
    where, text = "--input", given
    if given == "-":
        where, text = "stdin", sys.stdin.read()
    elif given.startswith("@"):
        where = given[1:]
        try:
            text = Path(where).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise click.UsageError(f"--input {given}: cannot read {where}: {why}") from error
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.UsageError(
            f"{where} is not JSON: {error}; write an object by parameter name, or an array"
        ) from error
