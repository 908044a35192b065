"""What ships for tests: of a store, the suite and the machine that every backend must pass.

Import what you need from its own module: `perdure.testing.conformance` needs pytest, and
`perdure.testing.statemachine` needs hypothesis.
"""
