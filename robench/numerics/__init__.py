"""Pure functions on tensors and counts: the ball, losses, random numbers, statistics."""
