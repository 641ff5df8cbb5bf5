"""Networks of RobustBench's model zoo: `robustbench:NAME`, `robustbench:DATASET/THREAT/NAME`."""

import os
import pickle
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robench.classifiers.sources.loaded import Loaded
from robench.classifiers.sources.robustbench_import import import_robustbench, make_portable
from robench.errors import InputError
from robench.paths import user_cache
from robench.specs import Architecture, Head, Input, NetworkSpec
from robench.specs.robustbench import PACKAGE, PREFIX, USUAL, Entry, code_of, find_entry

FORCE, FORCE_NOT = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
"""Environment variables by which torch.load reads plain weights only, or runs the code of a file."""
CONTRADICTING = {
    "weights": "--weights",
    "input": "--mean and --std",
    "head": "--head",
    "variant": "--variant",
    "key": "--key",
}


def resolve(spec: NetworkSpec) -> Loaded:
    """Load a network as RobustBench loads it, with its published weights; they are fetched if they are not there.

    Raises:
        InputError: RobustBench is not installed, or has no such network; its file of weights cannot be fetched, is
            damaged, or holds more than weights; an option contradicts the network.
    """
    for option, shown in CONTRADICTING.items():
        if getattr(spec, option) is not None:
            raise InputError(
                f"--model {spec.name} brings all of the network, with its normalisation and its published weights: "
                f"leave {shown} out."
            )
    entry = find_entry(spec.name.removeprefix(PREFIX))
    prepared = _prepared(entry)
    with _plain_weights(entry):
        network: nn.Module = import_robustbench().utils.load_model(
            model_name=entry.name, model_dir=folder(), dataset=entry.dataset, threat_model=entry.threat
        )
    return Loaded(
        network=make_portable(network).eval(),
        architecture=Architecture(name=PACKAGE, args={"name": entry.full}),
        head=Head(),
        input=Input(),
        input_source="of RobustBench, whose network does that itself",
        feature_layer=spec.feature_layer,
        code=code_of(entry, prepared),
        remark=_remark(entry, prepared),
        published=(entry.dataset, entry.clean) if prepared in (None, USUAL) else None,
    )


def make(declared: Architecture) -> nn.Module:
    """Make the network that a card declares, without its published weights.

    Raises:
        InputError: RobustBench is not installed, or has no such network.
    """
    name = declared.args.get("name")
    if not isinstance(name, str) or len(declared.args) > 1:
        raise InputError(f"architecture '{PACKAGE}' needs the text 'name' in its args, and nothing else.")
    entry = find_entry(name)
    made, timm_name = _declared(entry), _timm_name(entry)
    with _plain_weights(entry):
        if timm_name is None:
            network: nn.Module = made["model"]()
        else:
            import timm

            classes = import_robustbench("robustbench.utils").DATASET_CLASSES
            network = timm.create_model(timm_name, num_classes=classes[_enums().BenchmarkDataset(entry.dataset)])
    return make_portable(network).eval()


def folder() -> Path:
    """Return the folder in which RobustBench keeps files of weights, as DATASET/THREAT/NAME.pt."""
    return user_cache() / PACKAGE


def _place(entry: Entry) -> Path:
    """Return the folder where the weights of an entry are looked for: RobustBench's, or that of torch.hub."""
    if _timm_name(entry) is not None or (entry.dataset == "imagenet" and "Standard" in entry.name):
        return Path(torch.hub.get_dir()) / "checkpoints"
    return folder() / entry.dataset / entry.threat


def _enums() -> Any:
    return import_robustbench("robustbench.model_zoo.enums")


def _declared(entry: Entry) -> dict[str, Any]:
    """Return what RobustBench's model zoo declares about an entry."""
    zoo, enums = import_robustbench("robustbench.model_zoo"), _enums()
    found = zoo.model_dicts[enums.BenchmarkDataset(entry.dataset)][enums.ThreatModel(entry.threat)].get(entry.name)
    if found is None:
        raise InputError(f"RobustBench describes '{entry.full}', but its model zoo does not have it: name another.")
    declared: dict[str, Any] = found
    return declared


def _timm_name(entry: Entry) -> str | None:
    """Return the name under which RobustBench registers an entry with timm; None if it does not."""
    import timm

    name = f"{entry.name.lower().replace('-', '_')}_{entry.dataset}_{entry.threat.lower()}"
    return name if timm.is_model(name) else None


def _prepared(entry: Entry) -> str | None:
    """Return RobustBench's name of the preparation of an entry's images; None if images are taken as they are."""
    said = _declared(entry).get("preprocessing")
    if entry.dataset == "imagenet" and _timm_name(entry) is not None:
        return "timm"
    return None if said is None else str(said)


def _remark(entry: Entry, prepared: str | None) -> str:
    said = f"RobustBench's {entry.full}"
    if prepared in (None, USUAL):
        return said
    return f"{said}, whose published numbers are of images prepared by {prepared}, not {USUAL} as 'imagenet' is here"


@contextmanager
def _plain_weights(entry: Entry) -> Iterator[None]:
    """Let torch.load read plain weights only; standard output stays clean, faults become one sentence.

    Raises:
        InputError: the body raised an error.
    """
    before = {name: os.environ.pop(name, None) for name in (FORCE, FORCE_NOT)}
    os.environ[FORCE] = "1"
    where = _place(entry)
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries about each other
            yield
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        raise InputError(
            f"--model {PREFIX}{entry.full}: a file in '{where}' is damaged or holds more than plain weights, and "
            "no code in it is run: remove it to fetch it again, or put a file with the state_dict alone there."
        ) from error
    except Exception as error:  # a failed download, a damaged file, an unfit architecture: each raises other errors
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".: ")
        raise InputError(
            f"--model {PREFIX}{entry.full} cannot be loaded ({said}): fetch its file of weights into '{where}'."
        ) from error
    finally:
        del os.environ[FORCE]
        os.environ.update({name: value for name, value in before.items() if value is not None})
