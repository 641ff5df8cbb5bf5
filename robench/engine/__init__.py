"""One attack on chunks of examples, in this process or on workers. Importing this loads neither torch nor Ray."""
