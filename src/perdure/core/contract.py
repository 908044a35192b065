"""Contracts: what a signature says about inputs, output, chunks and injected resources.

Rules of this file:

1. The input of a call is one JSON object by parameter name: `{"order": {...}, "n": 3}`. What was
   not given is not written; the function's own defaults apply when it is called. `*items` stands
   under its name as a list, `**extra` under its name as an object.
2. What a caller gives is validated against the annotations before anything is stored; what is read
   back is validated again, for the code may have changed in between. What comes from outside
   (`accept_input`, `parse_input`, `decode_input(strict=True)`) must not have fields that its record
   does not have; what a journal holds may have lost a field since.
3. A parameter is *injected* when its annotation (or a thing in its `Annotated`) has the attribute
   `__perdure_injected__`: Perdure supplies it, it is no input, and callers pass over it.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from itertools import takewhile
from typing import Any, cast

import msgspec

from perdure.core.codec import ANYTHING, Codec, Shape
from perdure.core.codec.trouble import shown
from perdure.core.errors import ContractError, DecodingError
from perdure.core.inputs import accept, fields_of, parse_input, read_input, write_input
from perdure.core.signature import COLLECTED, Input, name_of_function, read_signature

_as_tuple = msgspec.structs.astuple
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contract:
    """What a function takes and gives.

    Attributes:
        name: The function's name, for messages.
        inputs: Its inputs by name, in the order of the signature.
        output: What it returns.
        chunks: What it streams, for a function that yields or returns an iterator; else None.
        injected: The annotations of the parameters that Perdure supplies, by name.
        is_async: Whether a call gives a coroutine or an async iterator.
        is_generator: Whether its body yields.
    """

    name: str
    inputs: Mapping[str, Input]
    output: Shape
    chunks: Shape | None
    injected: Mapping[str, object]
    is_async: bool
    is_generator: bool
    _positional: tuple[Input, ...]
    _rest: Input | None
    _extra: Input | None
    _required: frozenset[str]
    _decoder: Callable[[str], msgspec.Struct] | None
    _is_simple: bool
    _returned: str
    _recorded: str
    _is_direct: bool

    @staticmethod
    def of(fn: Callable[..., object], *, name: str = "") -> Contract:
        """Read the contract of a function from its signature.

        Args:
            fn: A function, method, partial or callable object.
            name: What messages call it; its own name if "".

        Raises:
            DeclarationError: An annotation cannot be resolved or is not a type, or a parameter can
                never be given.
        """
        name = name or name_of_function(fn)
        signature = read_signature(fn, name)
        inputs = signature.inputs
        positional = tuple(one for one in inputs.values() if one.kind in _POSITIONAL)
        return Contract(
            name=name,
            inputs=types.MappingProxyType(inputs),
            output=signature.output,
            chunks=signature.chunks,
            injected=types.MappingProxyType(signature.injected),
            is_async=signature.is_async,
            is_generator=signature.is_generator,
            _positional=positional,
            _rest=_one_of(inputs, Parameter.VAR_POSITIONAL),
            _extra=_one_of(inputs, Parameter.VAR_KEYWORD),
            _required=frozenset(one.name for one in inputs.values() if one.is_required),
            _decoder=_decoder(inputs),
            _is_direct=all(one.shape.is_direct for one in inputs.values()),
            _returned=f"{name}() returned",
            _recorded=f"the recorded result of {name}() has",
            _is_simple=len(positional) == len(inputs) and not any(o.by_name for o in positional),
        )

    # --- Inputs --------------------------------------------------------------------------------

    def encode_input(
        self, codec: Codec, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> str:
        """Write the arguments of a call down.

        Raises:
            ContractError: The call does not fit the signature, or a value its annotation.
            EncodingError: A value cannot be written down.
        """
        if self._is_simple and not kwargs and len(args) == len(self._positional):
            text = self._encode_quickly(args)
            if text is not None:
                return codec.seal(text) if codec.transforms else text
        bound = self._bind(args, kwargs)
        subject = f"{self.name}() was given"
        parts: list[str] = []
        for one, value in bound:
            text = write_input(one, value, subject)
            parts.append(f'"{one.name}":{text}')
        return codec.seal("{" + ",".join(parts) + "}")

    def _encode_quickly(self, args: Sequence[object]) -> str | None:
        """The input object, where each input has one argument; None: the slow way says why not."""
        text = "{"
        for one, value in zip(self._positional, args, strict=True):
            try:
                written = one.shape.write(value)
            except Exception:  # noqa: BLE001 - code of the user's runs in there
                return None
            if written.startswith('{"$'):
                return None
            text += f'"{one.name}":{written},'
        return text[:-1] + "}" if args else "{}"

    def accept_input(
        self, codec: Codec, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> str:
        """Write down the arguments of a call from outside: as `encode_input`, but a record may be
        given as plain data (a dict, as it comes from JSON), and fields that it has not are refused.

        Raises:
            ContractError, EncodingError: As `encode_input`.
        """
        if self._is_direct:
            try:
                return self.encode_input(codec, args, kwargs)
            except ContractError:
                pass  # perhaps it is plain data
        subject = f"{self.name}() was given"
        parts = [
            f'"{one.name}":{write_input(one, value, subject, accept)}'
            for one, value in self._bind(args, kwargs)
        ]
        return codec.seal("{" + ",".join(parts) + "}")

    def decode_input(
        self, codec: Codec, text: str, *, strict: bool = False
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        """Read what `encode_input` wrote.

        Args:
            codec, text: What it wrote, and with what.
            strict: The text comes from outside: fields that a record does not have are refused.

        Returns:
            Positional and keyword arguments, ready for a call (without what is injected).

        Raises:
            ContractError: It does not fit the signature, or a value its annotation.
            DecodingError: It is damaged.
        """
        # Without these characters it is no envelope, and there is no tagged value in it.
        if self._decoder is not None and not strict and '"$' not in text:
            try:
                record = self._decoder(text)
            except Exception:  # noqa: BLE001, S110 - the slow way says what is wrong
                pass
            else:
                values = _as_tuple(record)
                if self._is_simple:
                    if len(self._required) == len(values):
                        return values, {}
                    given_first = tuple(takewhile(_is_set, values))
                    if not any(map(_is_set, values[len(given_first) :])):
                        return given_first, {}
                given = zip(self.inputs, values, strict=False)
                return self._arranged({n: v for n, v in given if v is not msgspec.UNSET})
        return self._arranged(self._read_fields(codec, codec.open(text), strict))

    def parse_input(
        self, codec: Codec, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> str:
        """Write down arguments as a command line gives them.

        Text for an input that is not annotated as `str` is read as JSON if it is JSON; other text
        stays what it is. The rest is as with `encode_input`.

        Raises:
            ContractError: The call does not fit the signature, or a value its annotation.
        """
        subject = f"{self.name}() was given"
        parts = [
            f'"{one.name}":{write_input(one, parse_input(one, value, subject), subject)}'
            for one, value in self._bind(args, kwargs)
        ]
        return codec.seal("{" + ",".join(parts) + "}")

    def _bind(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> list[tuple[Input, object]]:
        """Which input each argument is for, in the order of the signature."""
        positional = self._positional
        if not kwargs and len(args) <= len(positional):
            bound = list(zip(positional, args, strict=False))
            if len(bound) == len(self.inputs) or not self._missing({one.name for one, _ in bound}):
                return bound
        return self._bind_all(args, kwargs)

    def _bind_all(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> list[tuple[Input, object]]:
        values: dict[str, object] = {
            one.name: value for one, value in zip(self._positional, args, strict=False)
        }
        if len(args) > len(self._positional):
            if self._rest is None:
                raise ContractError(
                    f"{self.name}() takes at most {len(self._positional)} inputs by position "
                    f"({', '.join(self.inputs) or 'it has none'}), and {len(args)} were given"
                )
            values[self._rest.name] = list(args[len(self._positional) :])
        extra: dict[str, object] = {}
        for name, value in kwargs.items():
            one = self.inputs.get(name)
            if one is None or one.kind in COLLECTED or one.kind is Parameter.POSITIONAL_ONLY:
                if self._extra is None or name in self.injected:
                    raise self._unknown(name)
                extra[name] = value
            elif name in values:
                raise ContractError(f"{self.name}() was given the input {name!r} twice", path=name)
            else:
                values[name] = value
        if self._extra is not None and extra:
            values[self._extra.name] = extra
        missing = self._missing(values)
        if missing:
            raise self._lacks(missing)
        return [(one, values[name]) for name, one in self.inputs.items() if name in values]

    def _missing(self, given: typing.Collection[str]) -> list[str]:
        return [name for name in self.inputs if name in self._required and name not in given]

    def _lacks(self, missing: list[str]) -> ContractError:
        names = ", ".join(repr(name) for name in missing)
        said = "input" if len(missing) == 1 else "inputs"
        return ContractError(f"{self.name}() missing {said} {names}", path=missing[0])

    def _unknown(self, name: str) -> ContractError:
        if name in self.injected:
            return ContractError(
                f"{self.name}() is given {name!r} by Perdure; leave it out", path=name
            )
        one = self.inputs.get(name)
        if one is not None and one.kind is Parameter.POSITIONAL_ONLY:
            return ContractError(f"{self.name}() takes {name!r} by position only", path=name)
        near = difflib.get_close_matches(name, self.inputs, 1)
        has = f"did you mean {near[0]!r}?" if near else f"it takes {_listed(self.inputs)}"
        return ContractError(f"{self.name}() has no input {name!r}; {has}", path=name)

    def _read_fields(self, codec: Codec, text: str, strict: bool) -> dict[str, object]:
        try:
            fields = fields_of(text)
        except msgspec.ValidationError:
            raise ContractError(
                f"the input of {self.name}() must be a JSON object of {_listed(self.inputs)}, "
                f"not {shown(text)}"
            ) from None
        except (msgspec.DecodeError, ValueError) as error:
            raise DecodingError(f"the input of {self.name}() is not JSON: {error}") from None
        values: dict[str, object] = {}
        subject = f"{self.name}() was given"
        read = codec.admit if strict else codec.decode
        for name, raw in fields.items():
            one = self.inputs.get(name)
            if one is None:
                raise self._unknown(name)
            values[name] = read_input(read, one, bytes(raw).decode(), subject)
        missing = self._missing(values)
        if missing:
            raise self._lacks(missing)
        return values

    def _arranged(self, values: dict[str, object]) -> tuple[tuple[object, ...], dict[str, object]]:
        """The values as the arguments of a call, in the way in which each may be passed."""
        args: list[object] = []
        kwargs: dict[str, object] = {}
        has_rest = self._rest is not None and bool(values.get(self._rest.name))
        has_gap = False
        for name, one in self.inputs.items():
            if one.kind is Parameter.VAR_POSITIONAL:
                args.extend(cast("list[object]", values.get(name, ())))
            elif one.kind is Parameter.VAR_KEYWORD:
                kwargs.update(cast("dict[str, object]", values.get(name, {})))
            elif one.kind is Parameter.KEYWORD_ONLY or one.by_name:
                if name in values:
                    kwargs[name] = values[name]
            elif name not in values:
                # What follows by position needs this place filled; the default does it.
                if has_rest or _comes_by_position(self._positional, one, values):
                    args.append(one.default)
                else:
                    has_gap = True
            elif has_gap:
                kwargs[name] = values[name]
            else:
                args.append(values[name])
        return tuple(args), kwargs

    # --- Output --------------------------------------------------------------------------------

    def encode_output(self, codec: Codec, value: object) -> str:
        """Write a result down.

        Raises:
            ContractError: It is not what the annotation says.
            EncodingError: It cannot be written down.
        """
        return codec.encode(value, self.output, at="result", subject=self._returned)

    def decode_output(self, codec: Codec, text: str) -> object:
        """Read what `encode_output` wrote.

        Raises:
            ContractError: It is not what the annotation says.
            DecodingError: It is damaged.
        """
        decode = self.output.decode
        if decode is not None and '"$' not in text:  # no envelope, and no tagged value
            try:
                return decode(text)
            except Exception:  # noqa: BLE001, S110 - the slow way says what is wrong
                pass
        return codec.decode(text, self.output, at="result", subject=self._recorded)

    def encode_chunk(self, codec: Codec, value: object) -> str:
        """Write one streamed chunk down; errors as `encode_output`."""
        shape = self.chunks or ANYTHING
        return codec.encode(value, shape, at="chunk", subject=f"{self.name}() yielded")

    # --- Schemas -------------------------------------------------------------------------------

    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of the input object."""
        from perdure.core.schema import input_schema

        return input_schema(self)

    def output_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of the result."""
        from perdure.core.schema import schema_of

        return schema_of(self.output.annotation)

    def chunk_schema(self) -> dict[str, Any] | None:
        """The JSON Schema (2020-12) of a streamed chunk; None for a function without chunks."""
        from perdure.core.schema import schema_of

        return None if self.chunks is None else schema_of(self.chunks.annotation)


def _is_set(value: object) -> bool:
    return value is not msgspec.UNSET


def _listed(names: typing.Iterable[str]) -> str:
    return ", ".join(names) or "no inputs"


def _comes_by_position(
    positional: Sequence[Input], gap: Input, values: Mapping[str, object]
) -> bool:
    """Whether an input after the gap is given and can only be passed by position."""
    after = positional[positional.index(gap) + 1 :]
    return any(one.kind is Parameter.POSITIONAL_ONLY and one.name in values for one in after)


def _one_of(inputs: Mapping[str, Input], kind: object) -> Input | None:
    return next((one for one in inputs.values() if one.kind is kind), None)


def _decoder(inputs: Mapping[str, Input]) -> Callable[[str], msgspec.Struct] | None:
    """Reads the whole input object at once, where every shape is one that msgspec reads."""
    if not all(one.shape.is_direct and one.kind not in COLLECTED for one in inputs.values()):
        return None
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        (one.name, one.shape.annotation)
        if one.is_required
        else (one.name, one.shape.annotation, msgspec.UNSET)
        for one in inputs.values()
    ]
    try:
        record = msgspec.defstruct("Input", fields, kw_only=True, forbid_unknown_fields=True)
        return msgspec.json.Decoder(record).decode
    except Exception:  # noqa: BLE001 - a name or a type that msgspec does not take: the slow way
        return None
