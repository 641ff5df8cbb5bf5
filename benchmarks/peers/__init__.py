"""Adapters: one library a module, each run in a process and an environment of its own."""
