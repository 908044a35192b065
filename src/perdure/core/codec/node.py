"""A node: one place of a type annotation, compiled, and what it can do with a value there."""

from __future__ import annotations

from collections.abc import Collection

from perdure.core.codec.trouble import Misfit


class Node:
    """What an annotation says about one place in a value.

    Attributes:
        name: The annotation as people write it.
        is_raw: A JSON object at this place is always a dict of the user's, never a tag.
    """

    name: str = "Any"
    is_raw: bool = False

    def is_direct(self, seen: set[int]) -> bool:
        """Whether msgspec, told the annotation, writes what `fits` and reads it back unchanged.

        Args:
            seen: Ids of the nodes that are being asked, for types that contain themselves.
        """
        return False

    def fits(self, value: object) -> bool:
        """Whether msgspec alone writes this value without a loss; asked only of direct nodes."""
        return False

    def fits_all(self, values: Collection[object]) -> bool:
        """Whether all of these values fit."""
        return all(map(self.fits, values))

    def write(self, value: object) -> object:
        """The value in terms that msgspec writes without a loss.

        Raises:
            Misfit: It is not what the annotation says.
            Unwritable: It cannot be written down.
        """
        raise NotImplementedError

    def read(self, plain: object) -> object:
        """The value again, from parsed JSON.

        Raises:
            Misfit: It is not what the annotation says.
            Unreadable: It is damaged, or needs a class that is not loaded.
        """
        raise NotImplementedError

    def misfit(self, value: object) -> Misfit:
        """The trouble that this value is, here."""
        return Misfit(value, self.name)
