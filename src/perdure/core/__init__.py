"""The pure core: the vocabulary and the rules, with no clock, no random, no asyncio and no I/O."""
