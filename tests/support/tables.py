"""A table with all that must be escaped somewhere."""

from robench.report import Estimate, Table


def awkward_table() -> Table:
    """Return a table whose texts hold the special characters of every format."""
    made = Table("A & B: 100% <sure>", "de_fense", ["clean", "x^2 {y}", "p"], ["Notes ~ with `code` & 5 % ± 1."])
    made.add("pgdat_he", {"clean": "90.00", "x^2 {y}": Estimate(73.89, (70.04, 77.41)), "p": "<0.001"})
    made.add("a|b", {"clean": "95.50*", "x^2 {y}": Estimate(73.80, (69.99, 77.40))})
    made.add("$c$", {"clean": "95.50"})
    made.graded = ["clean", "x^2 {y}"]
    return made
