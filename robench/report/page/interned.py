"""A list of shared values that stores each value once."""

from typing import Any

from robench.specs import canonical


class Interned:
    """A list without repetitions: equal values have the same place."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def text(self, value: Any) -> int:
        """Return the place of a value's canonical JSON text, which is the text that a record's digest is made of."""
        text = canonical(value)
        return self._place(text, text)

    def value(self, value: Any) -> int:
        """Return the place of a JSON-ready value."""
        return self._place(canonical(value), value)

    def _place(self, key: str, value: Any) -> int:
        place = self._places.setdefault(key, len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return place
