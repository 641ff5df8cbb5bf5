"""Tables as LaTeX documents, compiled as they are."""

import shutil
import subprocess

import pytest

from robench.paths import data_root
from robench.report import latex_document
from robench.report.paper import PAPER_TABLES, VerdictSource, View, paper_table
from tests.support.tables import awkward_table


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex (Debian's texlive-latex-recommended) is not here"
)
def test_every_table_compiles_as_it_is(tmp_path):
    source, view = VerdictSource("digits", data_root() / "results", published=True), View(against=True, intervals=True)
    text = latex_document([awkward_table(), *(paper_table(name, source, view) for name in PAPER_TABLES)])
    (tmp_path / "tables.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "tables.pdf").stat().st_size > 10_000
