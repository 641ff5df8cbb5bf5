"""Where a network comes from: a card, a checkpoint, a Python function, a library."""
