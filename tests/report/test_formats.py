"""Every format of a table, letter by letter, with all that must be escaped."""

import pytest

from robench.report import FORMATS, plain
from tests.support.tables import awkward_table


@pytest.fixture
def table():
    return awkward_table()


GOLDEN = {
    "md": r"""### A & B: 100% <sure>

| de_fense   | clean       | x^2 {y}                | p      |
|------------|-------------|------------------------|--------|
| pgdat_he   | 90.00       | **73.89 [70.0, 77.4]** | <0.001 |
| a\|b       | **95.50\*** | 73.80 [70.0, 77.4]     | -      |
| $c$        | **95.50**   | -                      | -      |

Notes ~ with `code` & 5 % ± 1.
""",
    "csv": r"""de_fense,clean,x^2 {y},x^2 {y} low,x^2 {y} high,p
pgdat_he,90.00,73.89,70.04,77.41,<0.001
a|b,95.50*,73.80,69.99,77.40,
$c$,95.50,,,,
""",
    "latex": r"""% A & B: 100% <sure>
% Notes ~ with `code` & 5 % ± 1.
\begin{tabular}{llll}
\toprule
 de\_fense   & clean    & x\^{}2 \{y\}              & p      \\
\midrule
 pgdat\_he   & 90.00    & \textbf{73.89 [70.0, 77.4]} & \ensuremath{<}0.001 \\
 a|b        & \textbf{95.50*} & 73.80 [70.0, 77.4]   & --     \\
 \$c\$        & \textbf{95.50}  & --                   & --     \\
\bottomrule
\end{tabular}
""",
    "html": r"""<table>
<caption>A &amp; B: 100% &lt;sure&gt;</caption>
<thead>
<tr><th>de_fense  </th><th>clean   </th><th>x^2 {y}             </th><th>p     </th></tr>
</thead>
<tbody>
<tr><td>pgdat_he  </td><td>90.00   </td><td><strong>73.89 [70.0, 77.4]</strong></td><td>&lt;0.001</td></tr>
<tr><td>a|b       </td><td><strong>95.50*</strong></td><td>73.80 [70.0, 77.4]  </td><td>-     </td></tr>
<tr><td>$c$       </td><td><strong>95.50</strong> </td><td>-                   </td><td>-     </td></tr>
</tbody>
</table>
<p>Notes ~ with `code` &amp; 5 % ± 1.</p>
""",
    "plain": r"""A & B: 100% <sure>

de_fense    clean    x^2 {y}             p
----------  -------  ------------------  ------
pgdat_he    90.00    73.89 [70.0, 77.4]  <0.001
a|b         95.50*   73.80 [70.0, 77.4]  -
$c$         95.50    -                   -

Notes ~ with `code` & 5 % ± 1.
""",
}


@pytest.mark.parametrize("name", [*FORMATS, "plain"])
def test_a_table_in_every_format(table, name):
    assert (FORMATS | {"plain": plain})[name](table) == GOLDEN[name]


def test_nothing_is_best_where_all_are_equal(table):
    table.rows = {name: {"clean": "90.00"} for name in table.rows}
    assert "**" not in FORMATS["md"](table)
