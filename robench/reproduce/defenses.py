"""Tables with a row a defense: accuracies under some attacks, the published ones beside them."""

from collections.abc import Sequence

from robench.report import Table
from robench.reproduce.workshop import PAPER, Product, Workshop, published, training_seconds

Cells = dict[str, str]


def beside(
    shop: Workshop,
    name: str,
    title: str,
    defenses: Sequence[str],
    attacks: Sequence[str],
    paper: dict[str, Cells],
    source: str = PAPER,
) -> Product:
    """Our accuracy and the paper's for each defense and attack, with Wilson's interval for the worst case.

    Args:
        shop: where verdicts come from.
        name: of the files.
        title: of the table.
        defenses: registered names.
        attacks: declared names.
        paper: published cells by defense and attack; `clean` for the clean accuracy.
        source: what the published cells were measured on.
    """
    columns = ["clean", *attacks]
    table = Table(title, "defense", [], [shop.setting(), source])
    for column in columns:
        table.columns += [column, f"{column} (paper)"] if any(column in row for row in paper.values()) else [column]
    table.columns.append("worst case")
    for defense in defenses:
        evaluation = shop.evaluate(shop.card(defense), attacks)
        worst = evaluation.worst_case
        cells = {"clean": f"{evaluation[attacks[0]].clean_accuracy:.2f}"}
        cells.update({attack: f"{evaluation[attack].robust_accuracy:.2f}" for attack in attacks})
        cells.update({f"{column} (paper)": value for column, value in paper.get(defense, {}).items() if value})
        cells["worst case"] = f"{worst.robust_accuracy:.2f} [{worst.interval[0]:.1f}, {worst.interval[1]:.1f}]"
        table.add(defense, cells)
    return Product(name, table)


def ablation(shop: Workshop) -> list[Product]:
    """Sec. 4.1: what feature and weight normalisation do alone and together, and the adaptive attack."""
    paper: dict[str, Cells] = {}
    for row in published("sec41_ablation_adaptive"):
        cells = paper.setdefault(row["defense"], {})
        cells[row["attack"]] = row["accuracy"]
        cells["clean"] = cells.get("clean") or row["clean"]
    defenses = ["pgdat", "pgdat_fn", "pgdat_wn", "pgdat_fnwn", "pgdat_he"]
    attacks = ["pgd-20", "pgd-500", "adaptive-pgd-20", "adaptive-pgd-500"]
    return [beside(shop, "ablation", "Ablation of hypersphere embedding (Sec. 4.1)", defenses, attacks, paper)]


def angles(shop: Workshop) -> list[Product]:
    """Appendix Table 2: m-HE, on angles instead of cosines."""
    names = {"cw-linf": "cw-linf-20"}
    paper = {
        row.pop("defense"): {names.get(key, key): value for key, value in row.items()}
        for row in published("appendix_table2_mhe")
    }
    attacks = ["pgd-20", "pgd-500", "mim-20", "fgsm", "cw-linf-20", "scaled-pgd-500", "adaptive-pgd-500"]
    defenses = ["pgdat_mhe", "alp_mhe", "trades_mhe"]
    return [beside(shop, "appendix-table2", "m-HE (appendix, Table 2)", defenses, attacks, paper)]


def fast(shop: Workshop) -> list[Product]:
    """Table 3: accuracy and training time of FastAT and FreeAT with and without HE."""
    rows = published("table3_fast_frameworks_cifar10")
    paper = {row["defense"]: {"clean": row["clean"], "pgd-50": row["pgd-50"]} for row in rows}
    attacks = ["pgd-50", "scaled-pgd-500", "adaptive-pgd-500"]
    product = beside(shop, "table3", "Fast frameworks (Table 3)", [row["defense"] for row in rows], attacks, paper)
    table = product.table
    table.columns += ["epochs", "epochs (paper)", "training s", "training min (paper)"]
    for row in rows:
        card = shop.card(row["defense"])
        table.rows[row["defense"]] = {
            **table.rows[row["defense"]],
            "epochs": str(card.recipe.epochs),
            "epochs (paper)": row["epochs"],
            "training s": f"{training_seconds(card):.1f}",
            "training min (paper)": row["train_minutes"],
        }
    table.notes.append("Training seconds are those of the committed logs, on two shared CPU cores, one thread.")
    return [product]
