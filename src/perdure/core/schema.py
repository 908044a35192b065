"""JSON Schemas (2020-12) of annotations, for people and for other programs.

msgspec makes the schema of what it knows, pydantic that of its models; the definitions of both are
gathered under one `$defs`. A schema describes the JSON that a caller may send, so a type that only
tags can tell (an arbitrary class) is described as anything.
"""

from __future__ import annotations

import types
import typing
from inspect import Parameter
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

import msgspec

from perdure.core.codec.records import hints_of, is_model, record_node
from perdure.core.codec.trouble import type_name

if TYPE_CHECKING:
    from perdure.core.contract import Contract

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEMPLATE = "#/$defs/{name}"


def schema_of(annotation: object) -> Schema:
    """The JSON Schema of one annotation."""
    definitions: dict[str, Schema] = {}
    return _document(_schema(annotation, definitions), definitions)


def input_schema(contract: Contract) -> Schema:
    """The JSON Schema of the input object of a contract."""
    definitions: dict[str, Schema] = {}
    properties: dict[str, Schema] = {}
    for name, one in contract.inputs.items():
        schema = _schema(one.shape.annotation, definitions)
        if one.kind is Parameter.VAR_POSITIONAL:
            schema = {"type": "array", "items": schema}
        elif one.kind is Parameter.VAR_KEYWORD:
            schema = {"type": "object", "additionalProperties": schema}
        elif not one.is_required:
            schema = _with_default(schema, one.default)
        properties[name] = schema
    required = [name for name, one in contract.inputs.items() if one.is_required]
    made: Schema = {"type": "object", "title": contract.name, "properties": properties}
    if required:
        made["required"] = required
    return _document({**made, "additionalProperties": False}, definitions)


def _document(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    return {"$schema": DIALECT, **schema, **({"$defs": definitions} if definitions else {})}


def _with_default(schema: Schema, default: object) -> Schema:
    try:
        return {**schema, "default": msgspec.to_builtins(default)}
    except (TypeError, ValueError):
        return schema


def _schema(annotation: Any, definitions: dict[str, Schema]) -> Schema:
    if is_model(annotation):
        return _model_schema(annotation, definitions)
    try:
        (made,), found = msgspec.json.schema_components(
            (annotation,), schema_hook=lambda cls: _hook(cls, definitions), ref_template=_TEMPLATE
        )
    except Exception:  # noqa: BLE001 - what msgspec does not take as a whole, in parts
        return _schema_in_parts(annotation, definitions)
    definitions.update(found)
    return made


def _hook(cls: type[Any], definitions: dict[str, Schema]) -> Schema:
    """The schema of a class that msgspec does not know."""
    if is_model(cls):
        return _model_schema(cls, definitions)
    if issubclass(cls, PurePath):
        return {"type": "string", "format": "path"}
    return {"description": f"a value of type {type_name(cls)}"}


def _model_schema(model: Any, definitions: dict[str, Schema]) -> Schema:
    made: Schema = model.model_json_schema(ref_template="#/$defs/{model}", by_alias=True)
    definitions.update(made.pop("$defs", {}))
    name = str(model.__name__)
    if made.get("$ref"):
        return {"$ref": made["$ref"]}
    definitions[name] = made
    return {"$ref": _TEMPLATE.format(name=name)}


def _schema_in_parts(annotation: Any, definitions: dict[str, Schema]) -> Schema:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(one, definitions) for one in inner]}
    if origin is typing.Annotated:
        return _schema(inner[0], definitions)
    if origin in (list, set, frozenset):
        return {"type": "array", "items": _schema(inner[0], definitions)}
    if origin is tuple and inner and inner[-1] is not Ellipsis:
        items = [_schema(one, definitions) for one in inner]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "items": False}
    if origin is tuple and inner:
        return {"type": "array", "items": _schema(inner[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(inner[1], definitions)}
    if isinstance(annotation, type) and record_node(cast("type[Any]", annotation)) is not None:
        return _record_schema(cast("type[Any]", annotation), definitions)
    return {}


def _record_schema(cls: type, definitions: dict[str, Schema]) -> Schema:
    """A record of which msgspec does not take some field."""
    name = cls.__name__
    if name not in definitions:
        definitions[name] = {}  # taken, for a class may hold itself
        node = record_node(cls)
        hints = hints_of(cls)
        fields = () if node is None else node.fields
        definitions[name] = {
            "title": name,
            "type": "object",
            "properties": {
                field.key: _schema(hints.get(field.name, Any), definitions) for field in fields
            },
            "required": [field.key for field in fields if field.is_required],
        }
    return {"$ref": _TEMPLATE.format(name=name)}
