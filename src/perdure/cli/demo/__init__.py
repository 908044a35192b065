"""The demo: a real workflow, killed in the middle and finished by another worker, and the proof.

`source_tree.py` is the workflow, the same file as examples/source_tree.py; a reader can copy it.
"""
