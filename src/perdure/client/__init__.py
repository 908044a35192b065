"""The handles that users hold: open a host, start runs, and ask about them."""
