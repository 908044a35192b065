"""What users write with: the decorators, the context, and the deterministic clock and dice."""
