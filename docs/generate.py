"""Writes the pages of the documentation that are made from code.

python docs/generate.py           write them
python docs/generate.py --check   fail if one of them is not what would be written
"""

from __future__ import annotations

import sys
from pathlib import Path

import python_page

from perdure.cli import reference as commands
from perdure.project import reference as settings

DOCS = Path(__file__).parent
PAGES = {
    DOCS / "reference" / "cli.md": commands.reference,
    DOCS / "reference" / "python.md": python_page.reference,
    DOCS / "reference" / "settings.md": settings.reference,
}


def main(arguments: list[str]) -> int:
    stale = []
    for path, write in PAGES.items():
        text = write()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    if stale and "--check" in arguments:
        names = ", ".join(str(path) for path in stale)
        print(f"not up to date: {names}; run: python docs/generate.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
