"""A process that claims and executes runs, and what such a process stands on."""
