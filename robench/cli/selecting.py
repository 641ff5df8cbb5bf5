"""Find attacks, defenses, data and threat models by names on the command line, without importing torch."""

from collections.abc import Sequence
from dataclasses import replace

from robench.data import Dataset, dataset_of, find_dataset
from robench.data.card_reading import reading_of, with_library
from robench.data.class_names import CLASS_NAMES
from robench.data.reading import AS_IT_IS, Reading
from robench.errors import InputError
from robench.specs import NORMS, AttackSpec, Card, NetworkSpec, ThreatModel, battery_attacks, find_attack, find_card
from robench.specs.robustbench import PREFIX, find_entry


def select_attacks(
    batteries: Sequence[str] | None, attacks: Sequence[str] | None, default: str = "paper"
) -> list[AttackSpec]:
    """List each attack once, in the order asked for; without any name, those of the default battery."""
    if not batteries and not attacks:
        batteries = [default]
    specs = [spec for name in batteries or () for spec in battery_attacks(name)] + [*map(find_attack, attacks or ())]
    return list({spec.name: spec for spec in specs}.values())


def select_defense(
    name: str, dataset: str | None, norm: str | None, eps: str | None, reading: Reading = AS_IT_IS
) -> tuple[Card, Dataset, ThreatModel]:
    """Find card, data and threat model of a defense that a card declares and that has weights.

    Raises:
        InputError: no such card, weights, dataset or threat model.
    """
    card = find_card(name)
    card.require_weights()
    data = card_data(dataset, card, with_library(reading, NetworkSpec(name), card))
    return card, data, select_threat(data, norm, eps, card.threat)


def select_data(
    network: NetworkSpec, dataset: str | None, norm: str | None, eps: str | None, reading: Reading = AS_IT_IS
) -> tuple[Dataset, ThreatModel]:
    """Find data and threat model for a user's network; unless a card or RobustBench names the data, the user must.

    Raises:
        InputError: the data is not named, or there is no such dataset or threat model.
    """
    if network.kind == "robustbench":
        entry = find_entry(network.name.removeprefix(PREFIX))
        data = find_dataset(dataset or entry.dataset, with_library(reading, network, None))
        return data, select_threat(data, norm, eps, entry.threat_model)
    if dataset is None and network.kind != "card":
        raise InputError(f"--model {network.name} does not say its data: add --dataset, e.g. npz:FILE.")
    card = find_card(network.name) if network.kind == "card" else None
    data = card_data(dataset, card, with_library(reading, network, card))
    return data, select_threat(data, norm, eps, card.threat if card else None)


def select_substitutes(specs: Sequence[AttackSpec], named: list[str] | None, models: Sequence[Card]) -> list[Card]:
    """List the defenses on which transfer attacks are crafted; none if no attack is a transfer attack.

    Raises:
        InputError: substitutes without transfer attacks, or transfer attacks without substitutes.
    """
    if not any(spec.access == "transfer" for spec in specs):
        if named:
            raise InputError("--substitute is for transfer attacks: add --battery transfer, or take it out.")
        return []
    cards = {card.name: card for card in (map(find_card, named) if named else models)}
    if not named and len(cards) < 2:
        raise InputError("transfer needs another network: repeat --model, or name one with --substitute.")
    for card in cards.values():
        card.require_weights()
    return list(cards.values())


def card_data(dataset: str | None, card: Card | None, reading: Reading = AS_IT_IS) -> Dataset:
    """Find the data that is named, else a card's; classes of user data go by the names of the card's dataset."""
    if card is None:
        assert dataset is not None
        return find_dataset(dataset, reading)
    if dataset is None:
        return dataset_of(card, reading)
    reading = reading_of(card, reading, dataset)
    return find_dataset(dataset, replace(reading, known=CLASS_NAMES.get(card.data, ())))


def select_threat(
    data: Dataset, norm: str | None, eps: str | None, published: ThreatModel | None = None
) -> ThreatModel:
    """Return the threat model that is asked for, else the network's published one, else the dataset's usual one."""
    usual = published or data.threat
    if eps is None and (usual is None or (norm in NORMS and norm != usual.norm)):
        raise InputError(f"'{data.name}' has no default eps{f' for {norm}' if norm else ''}: give one with --eps.")
    if usual is None:
        return ThreatModel.parse(norm or NORMS[0], eps or "")
    return ThreatModel.parse(norm or usual.norm, usual.text if eps is None else eps)
