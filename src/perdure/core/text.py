"""Text that can be kept: a database and a file take UTF-8, and Python's text may hold more.

Python makes a lone surrogate of each byte of a command line or the environment that is no UTF-8.
Such text cannot be written down, so it is refused where it is given.
"""

from __future__ import annotations


def is_writable(text: str) -> bool:
    """Whether a text has no lone surrogates, and so can be written down as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
