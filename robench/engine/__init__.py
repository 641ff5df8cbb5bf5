"""Run one attack on chunks of examples, in this process or on workers. The import loads neither torch nor Ray."""
