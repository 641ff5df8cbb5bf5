"""Declared things: threat models, cards, attacks, batteries. Never imports torch."""

from robench.specs.attack import CONTROL, COUNTED, FEW, Access, AttackSpec, Battery
from robench.specs.base import canonical, digest, file_sha256, fraction
from robench.specs.card import (
    CARD,
    WEIGHTS,
    Architecture,
    Card,
    Head,
    Input,
    Normalisation,
    Recipe,
    dataset_label,
    read_card,
)
from robench.specs.catalog import (
    battery_attacks,
    find_attack,
    find_battery,
    is_declared,
    list_attacks,
    list_batteries,
)
from robench.specs.defenses import (
    EMBEDDED,
    card_digests,
    catalogue_order,
    find_card,
    is_registered,
    list_models,
)
from robench.specs.diagnostic import LEVELS, Diagnostic, Level, diagnostics
from robench.specs.mask import MaskSummary
from robench.specs.network import NetworkSpec
from robench.specs.threat import NORMS, ORDERS, Norm, ThreatModel

__all__ = [
    "CARD",
    "CONTROL",
    "COUNTED",
    "EMBEDDED",
    "FEW",
    "LEVELS",
    "NORMS",
    "ORDERS",
    "WEIGHTS",
    "Access",
    "Architecture",
    "AttackSpec",
    "Battery",
    "Card",
    "Diagnostic",
    "Head",
    "Input",
    "Level",
    "MaskSummary",
    "NetworkSpec",
    "Norm",
    "Normalisation",
    "Recipe",
    "ThreatModel",
    "battery_attacks",
    "canonical",
    "card_digests",
    "catalogue_order",
    "dataset_label",
    "diagnostics",
    "digest",
    "file_sha256",
    "find_attack",
    "find_battery",
    "find_card",
    "fraction",
    "is_declared",
    "is_registered",
    "list_attacks",
    "list_batteries",
    "list_models",
    "read_card",
]
