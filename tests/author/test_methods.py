"""A method is refused where it is declared: nobody could call it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perdure import DeclarationError, function, step, workflow


@pytest.mark.parametrize("declare", [function, step, workflow, function(retries=1)])
def test_a_method_is_refused(declare: Callable[..., Any]) -> None:
    """A step has no object; the error names the method and what to write instead."""
    with pytest.raises(DeclarationError, match=r"Shop\.charge\(\) is a method.*@staticmethod"):

        class Shop:
            @declare
            async def charge(self, cents: int) -> int:
                return cents

    with pytest.raises(DeclarationError, match=r"Store\.charge\(\).*cls"):

        class Store:
            @classmethod
            @declare
            async def charge(cls, cents: int) -> int:
                return cents


def test_a_static_method_is_a_function() -> None:
    """It wants no object."""

    class Till:
        @staticmethod
        @function
        def charge(cents: int) -> int:
            return cents

    assert Till.charge(3) == Till().charge(3) == 3


def test_an_input_of_that_name_is_no_method() -> None:
    """Outside of a class `self` is a name as any other."""

    @function
    def portrait(self: str) -> str:
        return self

    assert portrait("me") == "me"
