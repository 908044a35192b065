"""The page of all settings, `docs/reference/settings.md`, written from their one table."""

from __future__ import annotations

from perdure.project.settings import OTHER_VARIABLES, SETTINGS


def reference() -> str:
    """Write the page of all settings (Markdown)."""
    lines = [
        "# Settings",
        "",
        "<!-- Written by docs/generate.py from src/perdure/project/settings.py. -->",
        "",
        "A setting is told in four places; the first that speaks wins:",
        "",
        "1. the call or the command line,",
        "2. the environment,",
        "3. `perdure.toml` at the root of the project, or `[tool.perdure]` in its",
        "   `pyproject.toml` (one of the two),",
        "4. the default.",
        "",
        "An unknown name or a value that cannot be used is an error, wherever it stands.",
        "",
        "```toml",
        "# perdure.toml",
        'modules = ["app"]',
        "",
        "[worker]",
        'lease = "15s"',
        "```",
    ]
    for setting in SETTINGS.values():
        lines += [
            "",
            f"## {setting.key}",
            "",
            setting.doc,
            "",
            f"- Value: {setting.form.expects}",
            f"- Default: {setting.default}",
            f"- Environment: `{setting.variable}`",
        ]
    lines += ["", "## Other environment variables", ""]
    lines += [f"- `{name}`: {doc}" for name, doc in OTHER_VARIABLES.items()]
    return "\n".join(lines) + "\n"
