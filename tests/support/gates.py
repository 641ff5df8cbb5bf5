"""What tests of the gate share: baselines that are edited as a careful forger would, and damaged weights."""

import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from robench.paths import data_root
from robench.specs import digest, file_sha256, find_card
from robench.store import Record, read_file, write_file
from robench.store.sealed import read_sealed, write_sealed
from tests.support.cards import copy_card

MAIN = ("pgdat", "pgdat_he", "alp", "alp_he", "trades", "trades_he")
QUICK = ("fgsm", "pgd-20", "mim-20", "scaled-pgd-20", "adaptive-pgd-20")
SMALL = ("check", "--model", "pgdat", "--attack", "fgsm", "--attack", "pgd-20", "--limit", 30)
"""A gate of two attacks on thirty examples."""
PUBLISHED = data_root() / "results" / "digits"


def published(model: str, seed: int = 0, attacks: Sequence[str] = QUICK) -> list[Record]:
    """The committed records of the quick battery, or of other attacks."""
    found = {r.header.attack.name: r for r in read_file(PUBLISHED / f"{model}.jsonl") if r.header.seed == seed}
    return [found[name] for name in attacks]


def turned(record: Record, places: list[int], *, robust: bool) -> Record:
    """A record with some verdicts turned."""
    verdicts, step = record.robust.copy(), record.step.copy()
    assert record.clean[places].all()
    assert (verdicts[places] != robust).all()
    verdicts[places], step[places] = robust, -1 if robust else 1
    return Record(record.header, record.clean, verdicts, step)


def planted(records: list[Record], count: int) -> tuple[list[Record], list[int]]:
    """A baseline in which `count` more examples withstood everything, spread over those that are broken by all."""
    broken = np.logical_and.reduce([record.clean & ~record.robust for record in records])
    places = np.flatnonzero(broken)[:: max(1, int(broken.sum()) // count)][:count].tolist()
    assert len(places) == count
    return [turned(record, places, robust=True) for record in records], places


def plant(path: Path, model: str, count: int, attacks: Sequence[str] = QUICK) -> list[int]:
    """Write such a baseline of the committed records; gives the ids of the examples' places."""
    records, places = planted(published(model, attacks=attacks), count)
    write_file(path, records)
    return places


def edited(path: Path, change) -> None:
    """Rewrite every line's header, identity and hash alike, by `change(header, identity)`."""
    lines = []
    for _, header in read_sealed(path, "restore it"):
        change(header, header["identity"])
        lines.append({**header, "hash": digest(header["identity"])})
    write_sealed(path, lines)


def damaged(folder: Path, size: float, model: str = "pgdat") -> Path:
    """A defense whose weights carry noise of `size` standard deviations, with a card that fits them."""
    card = copy_card(folder, model=model)
    path = folder / "weights.safetensors"
    weights, draw = load_file(path), torch.Generator().manual_seed(0)
    for name, value in weights.items():
        if value.is_floating_point() and value.dim() > 1:
            weights[name] = value + size * value.std() * torch.randn(value.shape, generator=draw)
    save_file(weights, path)
    card.write_text(card.read_text().replace(find_card(model).sha256, file_sha256(path)))
    return folder


def both(part, **changes):
    """Change a part of the identity and what stands beside it."""

    def change(header, identity):
        identity[part] |= changes
        if part == "threat":
            header["threat"] |= changes | ({"text": str(changes["eps"])} if "eps" in changes else {})
        if part == "data":
            header["n"], header["dataset"] = identity["data"]["n"], identity["data"]["name"]
            if "n" in changes:
                header["n"] = changes["n"]
                cut = -(-changes["n"] // 8) * 2
                header["clean"], header["robust"], header["steps"] = header["clean"][:cut], header["clean"][:cut], []
                header.pop("queries", None)

    return change


def spec(header, identity):
    header["attack"]["restarts"] = identity["attack"]["restarts"] = 3


def params(header, identity):
    identity["attack"]["params"]["objective"] = "margin"
    header["attack"]["params"]["objective"] = "margin"


def top(key, value):
    def change(header, identity):
        identity[key] = value
        if key in header:
            header[key] = value

    return change


FIELDS = {
    "spec": (spec, "attack.restarts is 3 there and 1 here"),
    "parameter": (params, "attack.params.objective is margin there and ce here"),
    "version": (both("attack", version=99), "attack.version is 99 there"),
    "engine": (top("engine", 0), "engine is 0 there and"),
    "eps": (both("threat", eps=0.1), "threat.eps is 0.1 there and 0.2 here: add --eps 0.1"),
    "norm": (both("threat", norm="l2"), "threat.norm is l2 there and linf here: add --norm l2"),
    "precision": (top("precision", "bf16"), "precision is bf16 there and fp32 here: add --precision bf16"),
    "data": (both("data", sha256="0" * 64), "data.sha256 is 000000000000... there"),
    "ids": (both("data", ids="1" * 64), "data.ids is 111111111111... there"),
    "size": (both("data", n=20, ids="1" * 64), "data.n is 20 there and 30 here: add --limit 20"),
    "dataset": (both("data", name="numbers"), "dataset is numbers there and digits here"),
}
"""Fields of an identity: how to change them consistently, and what the gate then says."""


def lost_ids(junit, name):
    """The examples that a cell lost, as its test case in a JUnit file lists them."""
    case = next(case for case in ET.parse(junit).iter("testcase") if case.get("name") == name)
    listed = re.search(r"lost \d+: ([\d, ]+)", "".join(case.itertext()))[1]
    return [int(each) for each in listed.split(",")]


def reproduction(out):
    """The command that the gate prints, without its program."""
    return shlex.split(re.search(r"`robench (eval [^`]*)`", out)[1])
