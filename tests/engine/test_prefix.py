"""A short run is the beginning of a long one, for every algorithm that says so."""

import pytest

from robench.algorithms import bind, list_algorithms
from robench.classifiers import load_model
from robench.classifiers.frozen import frozen_network
from robench.specs import find_attack, list_attacks
from tests.support.marks import slow
from tests.support.networks import CPU
from tests.support.runs import attack

LONG = {"cascade": 60, "hopping": 100, "antithetic": 6, "square": 60, "zoo": 110, "rays": 60}
SHORT = (1, 2, 3, 5, 10, 11, 18, 31, 45, 57, 100, 199)


def examples():
    """The first attack of every algorithm whose first steps do not depend on how many follow."""
    found = {}
    for name in list_attacks():
        spec = find_attack(name)
        if bind(spec).is_prefix_stable and spec.is_prefix_closed and spec.steps > 1:
            found.setdefault(spec.algorithm, spec)
    return found


def test_the_algorithms_that_say_so_are_tested():
    assert set(list_algorithms()) - set(examples()) == {"apgd", "autoattack", "autoattack_rand", "feature", "transfer"}


@pytest.mark.parametrize(("n", "shorts"), [(12, SHORT[::4]), slow(60, SHORT)], ids=["some", "all"])
@pytest.mark.parametrize("name", examples())
def test_a_run_of_its_own_gives_the_verdicts_read_from_a_longer_one(name, n, shorts, digits):
    spec = examples()[name]
    norm, eps = ("linf", "0.25") if "linf" in bind(spec).norms else ("l2", "1.5")
    steps = LONG.get(name, min(spec.steps, 20))
    few = digits.limit(n // 2 if name == "antithetic" else n)  # 257 queries a step
    with frozen_network(load_model("pgdat"), CPU) as frozen:
        whole = attack(frozen, few, spec.model_copy(update={"steps": steps}), threat=eps, norm=norm)
        assert 0 < whole.robust.sum() < len(few)
        for short in (s for s in shorts if s < steps):
            own = attack(frozen, few, spec.model_copy(update={"steps": short}), threat=eps, norm=norm)
            read = whole.after(short)
            for column in ("robust", "step", "queries", "prediction"):
                assert (getattr(own, column) == getattr(read, column)).all(), (short, column)
