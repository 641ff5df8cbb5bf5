"""A package with RobustBench's name, faults and layout, but two tiny networks.

Like RobustBench 1.1.1 it imports `pkg_resources` and `autoattack`, which are not installed, keeps files of weights as
MODEL_DIR/DATASET/THREAT/NAME.pt, and says what it publishes in its description only.
"""

import sys
from pathlib import Path

import pytest
import torch

from robench.classifiers.sources.robustbench_import import import_robustbench

VERSION = "9.8"
FILES = {
    "__init__.py": "from .loaders import WORDS\nfrom .utils import load_model\nfrom .eval import benchmark\n",
    "loaders.py": (
        "import pkg_resources\n\nwith open(pkg_resources.resource_filename(__name__, 'files/words.txt')) as f:\n"
        "    WORDS = f.read()\n"
    ),
    "files/words.txt": "found",
    "eval.py": (
        "from autoattack import AutoAttack\nfrom autoattack.state import EvaluationState\n\nbenchmark = AutoAttack\n"
    ),
    "utils.py": """
from pathlib import Path

import torch

from robustbench.model_zoo import model_dicts as all_models
from robustbench.model_zoo.enums import BenchmarkDataset, ThreatModel


def load_model(model_name, model_dir='./models', dataset='cifar10', threat_model='Linf'):
    found = all_models[BenchmarkDataset(dataset)][ThreatModel(threat_model)][model_name]
    model_path = Path(model_dir) / dataset / threat_model / f'{model_name}.pt'
    print(f'Downloading {model_path}')
    model = found['model']()
    model.load_state_dict(torch.load(model_path, map_location=torch.device('cpu'), **found.get('options', {})))
    return model.eval()
""",
    "model_zoo/__init__.py": "from .models import model_dicts\n",
    "model_zoo/enums.py": """
from enum import Enum


class BenchmarkDataset(Enum):
    cifar_10 = 'cifar10'
    cifar_100 = 'cifar100'
    imagenet = 'imagenet'


class ThreatModel(Enum):
    Linf = 'Linf'
    L2 = 'L2'
    corruptions = 'corruptions'
""",
    "model_zoo/models.py": """
import torch
from torch import nn

from robustbench.model_zoo.enums import BenchmarkDataset, ThreatModel


class Tiny(nn.Sequential):
    def __init__(self, stride=4):
        super().__init__(nn.Conv2d(3, 4, 3, stride=stride), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                         nn.Linear(16, 10))
        self.register_buffer('mu', torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1))

    def forward(self, x):
        return super().forward(x - self.mu)


model_dicts = {
    BenchmarkDataset.cifar_10: {
        ThreatModel.Linf: {
            'Tiny2020_R-1': {'model': Tiny},
            'Both': {'model': Tiny},
            'Careless': {'model': Tiny, 'options': {'weights_only': False}},
        },
        ThreatModel.L2: {'Round': {'model': Tiny}},
        ThreatModel.corruptions: {'Foggy': {'model': Tiny}},
    },
    BenchmarkDataset.cifar_100: {ThreatModel.Linf: {'Both': {'model': Tiny}}},
    BenchmarkDataset.imagenet: {
        ThreatModel.Linf: {
            'Large': {'model': Tiny, 'preprocessing': 'Crop288'},
            'Usual': {'model': Tiny, 'preprocessing': 'Res256Crop224'},
        }
    },
}
""",
}
ROW = (
    "| <sub>**1**</sub> | <sub><sup>**{}**</sup></sub> | <sub>*[A paper, 50% longer](https://a.b)*</sub> | "
    "<sub>{}%</sub> | <sub>{}%</sub> | <sub>Tiny</sub> | <sub>N/A</sub> |"
)
HEAD = "| <sub>#</sub> | <sub>Model ID</sub> | <sub>Paper</sub> | <sub>Clean accuracy</sub> |\n|:---:|---|---|:---:|"
METADATA = "\n".join(
    [
        f"Metadata-Version: 2.1\nName: robustbench\nVersion: {VERSION}\n",
        "## Model Zoo", "### CIFAR-10", "#### Linf, eps=8/255", HEAD,
        ROW.format("Tiny2020_R-1", "83.34", "43.21"), ROW.format("Both", "80.00", "40.00"),
        ROW.format("Careless", "80.00", "40.00"),
        "#### L2, eps=0.5", HEAD, ROW.format("Round", "90.00", "60.00"),
        "#### Common Corruptions", HEAD, ROW.format("Foggy", "94.78", "73.46"),
        "### CIFAR-100", "#### Linf, eps=8/255 ", HEAD, ROW.format("Both", "50.00", "20.00"),
        "### ImageNet", "#### Linf, eps=4/255", HEAD, ROW.format("Large", "70.00", "30.00"),
        ROW.format("Usual", "70.00", "30.00"),
        "## Notebooks", ROW.format("Nobody", "1.00", "1.00"), "",
    ]
)  # fmt: skip


def _loaded() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "robustbench"]


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the package before any other RobustBench, with an empty cache; return the folder of the package."""
    package = folder / "robustbench"
    for name, text in FILES.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    described = folder / f"robustbench-{VERSION}.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(METADATA)
    for name in _loaded():
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("ROBENCH_CACHE", str(folder / "cache"))
    return package


def forget() -> None:
    """Remove all modules of RobustBench, so that another package of this name can be imported."""
    for name in _loaded():
        del sys.modules[name]


def lay(entry: str, cache: Path, seed: int = 0):
    """Lay random weights of a network into the cache, where RobustBench looks for them; return the network."""
    zoo, enums = (import_robustbench(f"robustbench.model_zoo{end}") for end in ("", ".enums"))
    dataset, threat, name = entry.split("/")
    torch.manual_seed(seed)
    network = zoo.model_dicts[enums.BenchmarkDataset(dataset)][enums.ThreatModel(threat)][name]["model"]().eval()
    path = cache / "robustbench" / f"{entry}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
    return network
