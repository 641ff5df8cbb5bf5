"""Count the networks of RobustBench whose checkpoints robench recognises by their keys.

    pip install 'robench[robustbench]'
    python tools/count_recognised.py

Each network of the installed RobustBench is built without its published weights, on torch's device `meta`; its state
dict stands for the checkpoint. A network counts if the keys lead to an architecture of robench that has the same keys
and shapes. Networks that cannot be built without a download or a GPU are named and do not count.
"""

from pathlib import Path

import torch

from robench.classifiers.architectures import architecture
from robench.classifiers.sources.checkpoint import Checkpoint, Weights
from robench.classifiers.sources.families import COUNTER
from robench.classifiers.sources.recognition import BACKBONE, recognise
from robench.classifiers.sources.robustbench import make
from robench.errors import InputError
from robench.specs import Architecture
from robench.specs.robustbench import PACKAGE, Entry, entries

COUNTED = (("cifar10", "Linf"), ("cifar10", "L2"), ("cifar100", "Linf"))
NORMALISATION = ("mu", "sigma", "mean", "std")
"""Buffers whose values are read, not only their shapes."""


def weights_of(entry: Entry) -> Weights:
    """Return the state dict of a network of RobustBench without values, but for the constants of normalisation."""
    with torch.device("meta"):
        network = make(Architecture(name=PACKAGE, args={"name": entry.full}))
    return {
        key: torch.full(value.shape, 0.5, device="cpu") if key.split(".")[-1] in NORMALISATION else value
        for key, value in network.state_dict().items()
    }


def why_not(entry: Entry) -> str:
    """Return why the checkpoint of a network is not recognised; empty if it is."""
    try:
        found = recognise(Checkpoint(Path("w.pt"), {"": weights_of(entry)}))
    except (InputError, NotImplementedError, RuntimeError) as error:
        return str(error).splitlines()[0][:120]
    made = found.as_variant(next(iter(found.family.variants), None))
    with torch.device("meta"):
        ours = architecture(made.name)(shape=(3, 32, 32), **made.args).state_dict()
    theirs = {key.removeprefix(BACKBONE): value for key, value in found.weights.items() if key.startswith(BACKBONE)}
    shapes = [{k: v.shape for k, v in each.items() if not k.endswith(COUNTER)} for each in (ours, theirs)]
    return "" if shapes[0] == shapes[1] else "keys or shapes differ"


def main() -> None:
    """Print the counts, and the networks that are not recognised, with the reason."""
    known = entries().values()
    for dataset, threat in COUNTED:
        mine = [entry for entry in known if (entry.dataset, entry.threat) == (dataset, threat)]
        reasons = {entry.name: why_not(entry) for entry in mine}
        print(f"{dataset} {threat}: {list(reasons.values()).count('')} of {len(mine)}")
        for name, reason in reasons.items():
            if reason:
                print(f"    {name}: {reason}")


if __name__ == "__main__":
    main()
