"""Evaluation: the request, the records that are missing, and their computation."""
