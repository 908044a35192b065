"""The project: its `.perdure` folder, its settings, and how its modules are found."""
