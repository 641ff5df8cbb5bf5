"""The declared attacks and batteries, found by name."""

from functools import cache
from pathlib import Path
from typing import Any

from robench.errors import InputError, unknown
from robench.paths import data_root
from robench.specs.attack import AttackSpec, Battery
from robench.specs.base import build, read_stanzas
from robench.specs.corruption import CORRUPTIONS
from robench.specs.diagnostic import DIAGNOSTICS

BATTERIES = "batteries.toml"


@cache
def _attacks() -> dict[str, AttackSpec]:
    stanzas: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path in sorted((data_root() / "attacks").glob("*.toml")):
        if path.name in (BATTERIES, CORRUPTIONS, DIAGNOSTICS):
            continue
        for name, stanza in read_stanzas(path):
            if name in stanzas:
                raise InputError(f"'{path}': attack '{name}' is declared twice.")
            stanzas[name] = path, stanza
    found: dict[str, AttackSpec] = {}
    for name, (path, stanza) in stanzas.items():
        where = f"'{path}', attack '{name}'"
        found[name] = build(AttackSpec, _with_base(stanza, stanzas, where), where)
        found[name].declared_in(path)
    return found


def _with_base(stanza: dict[str, Any], stanzas: dict[str, tuple[Path, dict[str, Any]]], where: str) -> dict[str, Any]:
    """Return a stanza completed, parameter by parameter, from the stanza that it names as `base`."""
    name = stanza.get("base")
    if name is None:
        return stanza
    if not isinstance(name, str):
        raise InputError(f"{where}, key 'base': it must be the name of an attack, in quotes.")
    if name not in stanzas:
        raise InputError(f"{where}, key 'base': {unknown('attack', str(name), list(stanzas))}")
    base = stanzas[name][1]
    if "base" in base:
        raise InputError(f"{where}, key 'base': '{name}' has a base itself; name '{base['base']}'.")
    merged = {**base, **{key: value for key, value in stanza.items() if key != "base"}}
    params = [each.get("params", {}) for each in (base, stanza)]
    if all(isinstance(each, dict) for each in params):  # else the check of `merged` names the fault
        merged["params"] = {**params[0], **params[1]}
    return merged


@cache
def _batteries() -> dict[str, Battery]:
    path = data_root() / "attacks" / BATTERIES
    found = {name: build(Battery, stanza, f"'{path}', battery '{name}'") for name, stanza in read_stanzas(path)}
    for name, battery in found.items():
        where = f"'{path}', battery '{name}'"
        for attack in battery.attacks:
            if attack not in _attacks():
                raise InputError(f"{where}, key 'attacks': {unknown('attack', attack, list_attacks())}")
        for included in battery.includes:
            if included not in found:
                raise InputError(f"{where}, key 'includes': {unknown('battery', included, list(found))}")
        if name in _reach(found, battery):
            raise InputError(f"{where}, key 'includes': it includes itself; take one of them out.")
    return found


def _reach(batteries: dict[str, Battery], battery: Battery) -> set[str]:
    """Return the names of all batteries that one includes, directly or through others."""
    seen: set[str] = set()
    todo = list(battery.includes)
    while todo:
        name = todo.pop()
        if name not in seen and name in batteries:
            seen.add(name)
            todo += batteries[name].includes
    return seen


def list_attacks() -> list[str]:
    """Return the names of all declared attacks, in the order of their files."""
    return list(_attacks())


def list_batteries() -> list[str]:
    """Return the names of all declared batteries."""
    return list(_batteries())


def find_attack(name: str) -> AttackSpec:
    """Find an attack by name.

    Raises:
        InputError: unknown attack; the message names the nearest.
    """
    try:
        return _attacks()[name]
    except KeyError:
        raise unknown("attack", name, list_attacks()) from None


def is_declared(attack: AttackSpec) -> bool:
    """Return whether no other attack is declared under an attack's name now, but for the number of its steps."""
    return attack.name not in _attacks() or find_attack(attack.name).family_identity() == attack.family_identity()


def find_battery(name: str) -> Battery:
    """Find a battery by name.

    Raises:
        InputError: unknown battery; the message names the nearest.
    """
    try:
        return _batteries()[name]
    except KeyError:
        raise unknown("battery", name, list_batteries()) from None


def battery_attacks(name: str) -> list[AttackSpec]:
    """Return the attacks of a battery in their declared order, each once."""
    battery = find_battery(name)
    names: list[str] = []
    for included in battery.includes:
        names += [spec.name for spec in battery_attacks(included)]
    return [find_attack(attack) for attack in dict.fromkeys(names + battery.attacks)]
