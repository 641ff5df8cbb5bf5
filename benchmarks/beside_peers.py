"""robench beside torchattacks, Foolbox, ART and pyautoattack: time a verdict, forwards, robust accuracy, peak memory.

    python -m benchmarks.beside_peers [--model digits/pgdat cifar10-jpeg/pgdat wrn-34-10] [--attack pgd-20 deepfool:50]
                                     [--rounds 3] [--device cpu] [--data-dir DIR] [--out FILE] [--envs DIR | --here]

Every library has an environment, and for every attack a process, of its own; they are asked in turns, A B A B ..., the
same network, examples, eps, steps, micro-batch and device, as their users would: peers attack all examples, robench
those that are classified correctly. `pgd-20+pgd-500` asks for both, `autoattack` is the published standard version
beside the battery `fast`; deepfool and cw-l2 are judged in an l2 ball. Whatever an evaluation by robench needs (clean
pass, probe, judge, record) is part of its time. Points are judged alike: a fresh float32 pass, in the ball and the box.
With a GPU: --device cuda --batch-size 512.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.environments import CACHE, PEERS, ROOT, environment, missing
from robench.paths import write_text

if TYPE_CHECKING:
    from benchmarks.peers.scene import Scene
    from benchmarks.peers.worker import Setup

EXAMPLES = {
    "pgd-20": 1000, "pgd-100": 300, "mim-20": 1000, "pgd-20+pgd-500": 100, "deepfool": 100, "cw-l2": 50,
    "apgd-ce": 300, "square": 100, "spsa": 50, "zoo": 20, "autoattack": 100,
}  # fmt: skip
"""How many of the test examples each attack is run on, unless told."""
MINIMAL = ("deepfool", "cw-l2")
L2 = {"digits": "1.0", "cifar10": "128/255", "cifar10-jpeg": "128/255"}
"""The radius in which attacks of minimum norm are judged."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["digits/pgdat", "cifar10-jpeg/pgdat", "wrn-34-10"])
    parser.add_argument("--attack", nargs="+", default=list(EXAMPLES), help="NAME or NAME:EXAMPLES")
    parser.add_argument("--limit", type=int, help="examples for every attack that names no number of its own")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=100, help="of micro-batches, for every library")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "bf16"], help="of the search")
    parser.add_argument("--iterations", type=int, default=50, help="of C&W l2, for each of nine constants")
    parser.add_argument("--queries", type=int, default=1000, help="of Square alone; in AutoAttack it has its 5,000")
    parser.add_argument("--spsa-steps", type=int, default=4, help="256 queries each")
    parser.add_argument("--zoo-updates", type=int, default=300, help="two queries each")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--library", nargs="+", choices=list(PEERS), default=list(PEERS), help="beside robench")
    parser.add_argument("--envs", type=Path, default=CACHE / "benchmark", help="where to make the environments")
    parser.add_argument("--here", action="store_true", help="use this environment for all, without what it lacks")
    parser.add_argument("--out", type=Path, help="a Markdown file instead of the terminal")
    return parser.parse_args()


def interpreters(options: argparse.Namespace) -> dict[str, Path]:
    """Who runs each library; robench comes first."""
    if options.here:
        absent = missing()
        return {name: Path(sys.executable) for name in ("robench", *options.library) if name not in absent}
    packages = {"robench": [], **{name: [PEERS[name][1]] for name in options.library}}
    return {name: environment(options.envs / name, "--editable", str(ROOT), *extra) for name, extra in packages.items()}


def setup_of(scene: "Scene", attack: str, data: Path, options: argparse.Namespace) -> "Setup":
    """What a process is told; attacks of minimum norm are judged in an l2 ball."""
    from benchmarks.peers.worker import Setup
    from robench.data import dataset_of

    dataset = dataset_of(scene.card)
    threat = dataset.usual
    norm, eps = ("l2", L2[dataset.name]) if attack in MINIMAL else (threat.norm, threat.text)
    _, classes = dataset.sizes
    effort = {
        "iterations": options.iterations,
        "queries": options.queries,
        "spsa_steps": options.spsa_steps,
        "zoo_updates": options.zoo_updates,
    }
    return Setup(
        str(scene.card.folder), str(data), norm, eps, classes, options.batch_size, options.device, options.precision,
        options.threads, effort,
    )  # fmt: skip


def measure(options: argparse.Namespace, pythons: dict[str, Path]) -> Iterator[str]:
    """The report so far, after each attack."""
    import torch

    from benchmarks.peers.scene import Scene
    from benchmarks.peers.turns import Worker, in_turns
    from benchmarks.peers_report import Report

    torch.set_num_threads(options.threads)
    asked = [_numbered(attack, options) for attack in options.attack]
    report, known = Report(options), {}
    with tempfile.TemporaryDirectory(prefix="robench-") as temporary:
        folder = Path(temporary)
        for name in options.model:
            scene = Scene.of(name, folder, options.data_dir)
            report.network(scene)
            for attack, n in asked:
                setup = setup_of(scene, attack, scene.sample(n, folder), options)
                with ExitStack() as stack:
                    workers = []
                    for library, python in pythons.items():
                        if library in known and not known[library].issuperset(attack.split("+")):
                            continue
                        worker = stack.enter_context(Worker(library, python, setup))
                        known[library] = worker.attacks
                        report.versions |= worker.versions
                        if worker.has(attack):
                            workers.append(worker)
                    case = setup.case()
                    report.attack(attack, setup, len(case.x), in_turns(workers, attack, case, options.rounds))
                yield report.text()


def _numbered(attack: str, options: argparse.Namespace) -> tuple[str, int]:
    name, _, n = attack.partition(":")
    return name, int(n or options.limit or EXAMPLES.get(name, 100))


def main() -> None:
    """Write the report as far as it goes after each attack, or print it in the end."""
    options, text = arguments(), ""
    for text in measure(options, interpreters(options)):
        if options.out:
            write_text(options.out, text)
    if not options.out:
        print(text)


if __name__ == "__main__":
    main()
