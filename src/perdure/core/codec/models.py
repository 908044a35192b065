"""The node for pydantic models, by pydantic's own means; Perdure itself never imports pydantic.

A model is dumped as its class says (aliases, serializers), validated again at once, and refused if
that does not give an equal model: a masked secret, for one, would come back as its mask.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from perdure.core.codec import untyped
from perdure.core.codec.containers import first_line, from_tag
from perdure.core.codec.records import RecordNode
from perdure.core.codec.trouble import Misfit, Unwritable, type_of


class ModelNode(RecordNode):
    """A pydantic model."""

    def is_direct(self, seen: set[int]) -> bool:
        return False

    def read_text(self, text: str) -> object:
        """The model from its JSON text."""
        try:
            return cast("Any", self.cls).__pydantic_validator__.validate_json(text)
        except Exception as error:  # noqa: BLE001 - validators of the user's may raise anything
            raise _model_misfit(self.name, error) from None

    def write(self, value: object) -> object:
        if type(value) is self.cls:
            return self.write_loose(value)[0]
        if not isinstance(value, self.cls):
            raise self.misfit(value)
        return untyped.write(value)

    def write_loose(self, value: object) -> tuple[object, dict[str, object]]:
        """The model as pydantic dumps it, if that leads back to an equal one."""
        model = cast("Any", value)
        try:
            dumped = model.model_dump(mode="json", by_alias=True, round_trip=True, warnings="error")
            again = self.read_text(_to_json(dumped))
        except Misfit as misfit:
            # The value breaks its own model: assigned after it was validated.
            raise misfit from None
        except Exception as error:  # noqa: BLE001 - serializers of the user's may raise anything
            raise Unwritable(
                f"a {self.name} that pydantic cannot dump: {first_line(error)}"
            ) from None
        if not _is_same(again, value):
            raise Unwritable(self._lost(again, value))
        return untyped.write(dumped), {}

    def _lost(self, again: object, value: object) -> str:
        for name, item in vars(value).items():
            if not _is_same(vars(again).get(name), item):
                return (
                    f"a {self.name} whose field {name!r} ({type_of(item)}) does not survive "
                    "the JSON form of its own model; give the field a serializer that keeps it"
                )
        return f"a {self.name} with private attributes, which its own JSON form does not keep"

    def read(self, plain: object) -> object:
        if not isinstance(plain, dict):
            if hasattr(self.cls, "__pydantic_root_model__"):
                return self.read_loose(plain, {})
            raise self.misfit(plain)
        given = cast("dict[str, object]", plain)
        return (
            from_tag(self, given, (self.cls,)) if "$object" in given else self.read_loose(given, {})
        )

    def read_loose(self, plain: object, loose: Mapping[str, object]) -> object:
        """The model that `write_loose` wrote."""
        return self.read_text(_to_json(untyped.read(plain)))


def _is_same(one: object, other: object) -> bool:
    """Equal; or the same to look at, with a nan somewhere, which never equals anything."""
    if type(one) is not type(other):
        return False
    return bool(one == other) or ("nan" in repr(other) and repr(one) == repr(other))


def _to_json(plain: object) -> str:
    return json.dumps(plain, ensure_ascii=False)  # with NaN and Infinity, which pydantic reads


def _model_misfit(name: str, error: Any) -> Misfit:
    if not hasattr(error, "errors"):
        return Misfit(None, f"{name}: {first_line(error)}")
    first: dict[str, Any] = error.errors(include_url=False)[0]
    misfit = Misfit(first["input"], f"{name}: {first['msg']}")
    for part in reversed(first["loc"]):
        misfit.parts.append(f"[{part}]" if isinstance(part, int) else f".{part}")
    return misfit
