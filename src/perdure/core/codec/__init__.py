"""Values as JSON text that a person can read, typed on the way back.

`Codec.encode` writes a value by a `Shape` (a compiled type annotation), `Codec.decode` reads it
back: exactly as it was, with or without a helpful annotation. The parts: `untyped` (the tags),
`plain`, `containers` and `records` (what each kind of annotation does), `shape` (which joins
them, and has the fast way), `failures` (errors), `names` (classes in text, never imported).

A codec is a pipeline: the JSON text goes through its transforms (compression, encryption), and is
then an envelope that names them. Reading looks at each text, so both kinds may stand side by side.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import NoReturn, Protocol, cast

import msgspec

from perdure.core.codec.containers import DictNode, OptionalNode
from perdure.core.codec.failures import read_error, write_error
from perdure.core.codec.findings import one_pass
from perdure.core.codec.names import stands_for
from perdure.core.codec.places import place_of_loop, place_of_text
from perdure.core.codec.records import TypedDictNode
from perdure.core.codec.shape import Shape, parse
from perdure.core.codec.strangers import refuse_strangers
from perdure.core.codec.trouble import Trouble, Unreadable, Unwritable, refuse, shown
from perdure.core.errors import DecodingError, PerdureError

__all__ = ["ANYTHING", "JSON", "Codec", "Shape", "Transform", "stands_for"]

ANYTHING = Shape.of(object)
"""The shape of a value without an annotation."""

_ENVELOPE = '{"$codec"'


class Transform(Protocol):
    """One stage of a codec: what it does to bytes, and how that is undone.

    Attributes:
        id: Its name and version, such as "zlib/1"; stored with everything that it wrote.
    """

    @property
    def id(self) -> str:
        """Its name and version."""
        ...

    def encode(self, data: bytes) -> bytes:
        """Transform."""
        ...

    def decode(self, data: bytes) -> bytes:
        """Undo `encode`; may raise anything if the data is not its own."""
        ...


class Codec:
    """Writes values down and reads them back."""

    def __init__(self, transforms: Sequence[Transform] = ()) -> None:
        """Make a codec.

        Args:
            transforms: The stages that JSON text goes through, in this order, on its way out.
        """
        self.transforms = tuple(transforms)
        self._by_id = {transform.id: transform for transform in transforms}

    def encode(
        self, value: object, shape: Shape = ANYTHING, *, at: str = "value", subject: str = ""
    ) -> str:
        """Write a value down.

        Args:
            value: The value.
            shape: What it should be.
            at: What it is called in an error: "result", or the name of an input.
            subject: Who it came from in an error, as in "charge() returned".

        Returns:
            JSON text.

        Raises:
            ContractError: It is not what the shape says.
            EncodingError: It cannot be written down.
        """
        try:
            text = shape.write(value)
        except Exception as error:  # noqa: BLE001 - code of the user's runs in there
            _refuse(error, value, at, subject, writing=True)
        if self.transforms or (text.startswith(_ENVELOPE) and _is_raw(shape)):
            return self._seal(text)
        return text

    def decode(
        self, text: str, shape: Shape = ANYTHING, *, at: str = "value", subject: str = ""
    ) -> object:
        """Read what `encode` wrote, with the same arguments.

        Raises:
            ContractError: It is not what the shape says.
            DecodingError: It is damaged, or needs a class or a transform that is not here.
        """
        try:
            return shape.read(self.open(text) if text.startswith(_ENVELOPE) else text)
        except Exception as error:  # noqa: BLE001 - code of the user's runs in there
            _refuse(error, text, at, subject, writing=False)

    def check(self, text: str, shape: Shape, *, at: str = "value", subject: str = "") -> None:
        """Refuse fields that the records in a written value do not have.

        Raises:
            ContractError: There is one.
        """
        try:
            refuse_strangers(shape.node, parse(self.open(text)))
        except Exception as error:  # noqa: BLE001 - a union reads with code of the user's
            _refuse(error, text, at, subject, writing=False)

    def admit(self, text: str, shape: Shape, *, at: str = "value", subject: str = "") -> object:
        """Read what comes from outside: as `decode`, but strictly (see `check`), and by the
        constructors of its records, so that their defaults are written down like what was given.

        Raises:
            ContractError, DecodingError: As `decode`; or there is a field too many.
        """
        self.check(text, shape, at=at, subject=subject)
        try:
            return one_pass(shape.node.read, parse(self.open(text)))
        except Exception as error:  # noqa: BLE001 - code of the user's runs in there
            _refuse(error, text, at, subject, writing=False)

    def encode_error(self, error: BaseException) -> str:
        """Write an exception down; never raises, whatever the exception does."""
        try:
            text = msgspec.json.encode(write_error(error)).decode()
        except Exception as broken:  # noqa: BLE001 - rather a poor record than none
            message = f"<it could not be written down: {type(broken).__name__}>"
            name = f"{type(error).__module__}:{type(error).__qualname__}"
            text = msgspec.json.encode({"type": name, "message": message}).decode()
        return self.seal(text)

    def decode_error(self, text: str) -> BaseException:
        """The exception that `encode_error` was given, to be raised again.

        Returns:
            An exception of its own class where that is loaded, else a `StepError`; with its cause,
            and with its recorded traceback as the attribute `perdure_traceback`.

        Raises:
            DecodingError: The text is damaged, or needs a transform that is not here.
        """
        try:
            plain = parse(self.open(text))
            if not isinstance(plain, dict) or "type" not in plain:
                raise Unreadable(f"{shown(text)} does not tell of an error")
            return read_error(cast("dict[str, object]", plain))
        except Exception as error:  # noqa: BLE001 - code of the user's runs in there
            _refuse(error, text, "error", "", writing=False)

    def seal(self, text: str) -> str:
        """Put JSON text through the transforms; without any it stays as it is."""
        return self._seal(text) if self.transforms else text

    def _seal(self, text: str) -> str:
        """An envelope that names the transforms, perhaps none."""
        data = text.encode()
        for transform in self.transforms:
            data = transform.encode(data)
        ids = [transform.id for transform in self.transforms]
        sealed = {"$codec": ids, "data": b64encode(data).decode()}
        return msgspec.json.encode(sealed).decode()

    def open(self, text: str) -> str:
        """The JSON text inside an envelope; text that is none is returned as it is.

        Raises:
            DecodingError: The envelope is damaged, or names a transform that is not here.
        """
        if not text.startswith(_ENVELOPE):
            return text
        try:
            envelope = msgspec.json.decode(text, type=_Envelope)
            data = b64decode(envelope.data, validate=True)
        except (msgspec.DecodeError, ValueError) as error:
            raise DecodingError(f"{shown(text)} is a damaged envelope: {error}") from None
        for name in reversed(envelope.ids):
            transform = self._by_id.get(name)
            if transform is None:
                have = ", ".join(self._by_id) or "none"
                raise DecodingError(
                    f"this was written by the transform {name!r}, which is not set up here "
                    f"(there is {have}); open it with the codec that wrote it"
                )
            try:
                data = transform.decode(data)
            except Exception as error:
                raise DecodingError(f"the transform {name!r} cannot undo it: {error}") from error
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise DecodingError(f"the transforms did not give text back: {error}") from None


class _Envelope(msgspec.Struct, rename={"ids": "$codec"}):
    ids: list[str]
    data: str


JSON = Codec()
"""The codec without transforms."""


def _is_raw(shape: Shape) -> bool:
    """Whether a dict with this shape may have "$codec" as a key of its own, unescaped."""
    node = shape.node
    while isinstance(node, OptionalNode):
        node = node.inner
    return isinstance(node, DictNode | TypedDictNode)


def _refuse(error: Exception, value: object, at: str, subject: str, *, writing: bool) -> NoReturn:
    """Raise the public error for whatever went wrong inside."""
    if isinstance(error, PerdureError):
        raise error
    if isinstance(error, Trouble):
        trouble = error
    elif isinstance(error, RecursionError):
        loop = place_of_loop(value)
        trouble = Unwritable("it is nested too deeply" if loop is None else "it contains itself")
        trouble.parts = loop or []
    elif isinstance(error, UnicodeEncodeError):
        trouble = Unwritable(f"{shown(error.object)} has a lone surrogate and is no valid text")
        trouble.parts = place_of_text(value, error.object)
    else:
        trouble = Unwritable(f"{type(error).__name__}: {error}")
    refuse(trouble, at=at, subject=subject, writing=writing)
