"""Fields that a record does not have: refused in what comes from outside, passed over in journals.

What a caller misspells would otherwise be dropped without a word. What a journal holds may have been
written by older code, whose classes had fields that today's have no more; nobody can mend that, so
reading alone does not look for strangers.

Pydantic models have their own rule (`extra`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import cast

from perdure.core.codec.containers import DictNode, ListNode, SetNode, TupleNode, UnionNode
from perdure.core.codec.findings import once, one_pass
from perdure.core.codec.node import Node
from perdure.core.codec.records import NamedTupleNode, RecordNode, StructNode
from perdure.core.codec.trouble import Misfit, Trouble


class Stranger(Misfit):
    """A field that the record at this place does not have."""

    def __init__(self, key: str, record: str, known: Sequence[str]) -> None:
        near = get_close_matches(key, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known) or 'none'}"
        super().__init__(key, f"{record}, which has no such field; {hint}")
        self.text = f"the field {key!r}"


def refuse_strangers(node: Node, plain: object) -> None:
    """Look for fields that the records in a value do not have.

    Args:
        node: What the annotation says.
        plain: The value as parsed JSON; it fits otherwise.

    Raises:
        Stranger: There is one.
    """
    one_pass(lambda whole: _look(node, whole), plain)


def has_strangers(node: Node, plain: object) -> bool:
    """Whether there are such fields in a part of a value that is being read."""
    try:
        _look(node, plain)
    except Stranger:
        return True
    return False


def _look(node: Node, plain: object) -> None:
    inner = getattr(node, "inner", None)
    if isinstance(inner, Node):  # T | None, Annotated[T, …], type X = T
        _look(inner, plain)
    elif isinstance(node, UnionNode):
        _look_in_members(node, plain)
    elif isinstance(node, RecordNode):
        if not hasattr(node.cls, "__pydantic_validator__"):
            _look_in_record(node, plain)
    elif isinstance(plain, list):
        _look_in_list(node, cast("list[object]", plain))
    elif isinstance(node, DictNode) and isinstance(plain, dict):
        given = cast("dict[str, object]", plain)
        if node.is_raw or not _is_tagged(given):
            for key, item in given.items():
                _step(f"[{key!r}]", node.item, item)


def _look_in_record(node: RecordNode, plain: object) -> None:
    if isinstance(plain, list):  # a named tuple, or a struct that is written as an array
        ordered = node.fields if isinstance(node, NamedTupleNode | StructNode) else ()
        for place, item in zip(ordered, cast("list[object]", plain), strict=False):
            _step(f".{place.name}", place.node, item)
        return
    if not isinstance(plain, dict):
        return
    given = cast("dict[str, object]", plain)
    if not node.is_raw and _is_tagged(given):
        return
    fields_by_key = {field.key: field for field in node.fields}
    tag = node.tag_field if isinstance(node, StructNode) else None
    for key, item in given.items():
        field = fields_by_key.get(key)
        if field is not None:
            _step(f".{field.name}", field.node, item)
        elif key != tag:
            stranger = Stranger(key, node.name, list(fields_by_key))
            stranger.parts.append(f".{key}" if key.isidentifier() else f"[{key!r}]")
            raise stranger


def _look_in_list(node: Node, items: list[object]) -> None:
    nodes: Iterable[Node]
    if isinstance(node, ListNode | SetNode):
        nodes = [node.item] * len(items)
    elif isinstance(node, TupleNode):
        nodes = node.items if node.rest is None else [node.rest] * len(items)
    else:
        return
    for index, (item_node, item) in enumerate(zip(nodes, items, strict=False)):
        _step(f"[{index}]", item_node, item)


@once
def _look_in_members(union: UnionNode, plain: object) -> None:
    """One member that the value fits, and knows all its fields, is enough."""
    first: Stranger | None = None
    for member in union.members:
        try:
            member.read(plain)
            _look(member, plain)
        except Stranger as stranger:
            first = first or stranger
        except Trouble:
            continue
        else:
            return
    if first is not None:
        raise first


def _step(part: str, node: Node, plain: object) -> None:
    try:
        _look(node, plain)
    except Stranger as stranger:
        stranger.parts.append(part)
        raise


def _is_tagged(given: dict[str, object]) -> bool:
    return any(key.startswith("$") for key in given)
