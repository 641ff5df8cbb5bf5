"""Class names of datasets, in the order of their labels, and the labels of a user's classes by these names."""

from collections.abc import Sequence
from pathlib import Path

from robench.data.corrupted import named
from robench.errors import InputError

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
CIFAR100 = tuple(_CIFAR100.split())
CLASS_NAMES = {
    "digits": tuple("0123456789"),
    "cifar10": CIFAR10,
    "cifar10-jpeg": CIFAR10,
    "cifar100": CIFAR100,
}
"""Class names as they are published, by dataset."""


def read_class_names(path: Path) -> tuple[str, ...]:
    """Read a file of class names, one per line, in the order of the labels.

    Raises:
        InputError: the file cannot be read, or holds no names or one name twice.
    """
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--classes '{path}' cannot be read ({error}): give a text file, one name per line."
        ) from error
    if not names:
        raise InputError(f"--classes '{path}' is empty: give one class name per line, in the order of the labels.")
    keys = [class_key(name) for name in names]
    if twice := [name for at, name in enumerate(names) if keys[at] in keys[:at]]:
        raise InputError(f"--classes '{path}' names '{twice[0]}' twice: give one line per class.")
    return names


def labels_by_name(found: Sequence[str], known: Sequence[str], where: str, *, required: bool) -> list[int] | None:
    """Return the label of each class found, by its name; capitals, spaces, `-` and `_` make no difference.

    Args:
        found: names of the user's classes.
        known: names in the order of the labels.
        where: the place of the user's classes, for the message.
        required: whether names must fit; otherwise None is returned if none of them fits.

    Raises:
        InputError: some names fit and others do not, or none fits though one must.
    """
    places = {class_key(name): at for at, name in enumerate(known)}
    missing = [name for name in found if class_key(name) not in places]
    if not missing:
        return [places[class_key(name)] for name in found]
    if len(missing) == len(found) and not required:
        return None
    raise InputError(
        f"'{where}' has the classes {named(missing)}, which are not among the {len(known)} class names "
        f"{known[0]} to {known[-1]}: rename them, or give the names in the order of the labels with --classes FILE."
    )


def class_key(name: str) -> str:
    """Return a class name without capitals, spaces, `-` and `_`, by which names are compared."""
    return "".join(letter for letter in name.casefold() if letter not in " -_")
