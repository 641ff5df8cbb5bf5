"""The only way to touch a network: oracle, judge, counted passes, micro-batches."""
