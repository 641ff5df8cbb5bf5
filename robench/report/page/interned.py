"""Values that many records share, each kept once."""

from typing import Any

from robench.specs import canonical


class Interned:
    """A list without repetitions; what is put in twice has one place."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def text(self, value: Any) -> int:
        """The place of a value's canonical JSON, as text: the same as in the digest that names a record."""
        text = canonical(value)
        return self._place(text, text)

    def value(self, value: Any) -> int:
        """The place of a JSON-ready value."""
        return self._place(canonical(value), value)

    def _place(self, key: str, value: Any) -> int:
        place = self._places.setdefault(key, len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return place
