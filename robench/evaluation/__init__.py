"""An evaluation: what is asked for, what is missing, and computing it."""
