"""The engine: machine plus store. It turns events into turns, and commits them before it acts."""
