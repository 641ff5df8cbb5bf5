"""Notes that tell networks with the same name apart: names that differ in the digest alone say too little."""

from collections.abc import Iterator, Mapping

from robench.report.selection import defense
from robench.store import SHORT, Header, Record


def told_apart(defenses: Mapping[str, list[Record]]) -> Iterator[str]:
    """Yield a note on each group of networks whose names differ in the digest alone: what differs between them.

    Args:
        defenses: the records of each network, by its name.
    """
    alike: dict[str, dict[str, Header]] = {}
    for name, records in defenses.items():
        alike.setdefault(defense(name), {})[name] = records[0].header
    for heads in alike.values():
        if len(heads) > 1:
            yield f"Networks of one name. {'; '.join(_told(heads))}."


def _told(heads: Mapping[str, Header]) -> Iterator[str]:
    """Yield for each network the settings that differ, or its weights if only these do."""
    traits = {name: _traits(header) for name, header in heads.items()}
    differing = [key for key in next(iter(traits.values())) if len({mine[key] for mine in traits.values()}) > 1]
    for name, mine in traits.items():
        said = [mine[key] for key in differing if mine[key]]
        yield f"{name}: {', '.join(said) if differing else _weights(heads[name])}"


def _traits(header: Header) -> dict[str, str]:
    layer = header.identity["model"].get("feature_layer")
    return {
        "normalisation": str(header.normalisation or "normalisation not recorded"),
        "remark": header.remark,
        "layer": f"features of {layer}" if layer else "",
    }


def _weights(header: Header) -> str:
    """Return the digests of weights and code; those of the weights cover the normalisation, so they come last."""
    model = header.identity["model"]
    said = {key: str(model.get(key, ""))[:SHORT] for key in ("weights", "code")}
    return ", ".join(f"{key} {value}" for key, value in said.items() if value)
