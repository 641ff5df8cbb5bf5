"""How far chunks are that are computed elsewhere. Never imports torch: its process is small."""


class ProgressActor:
    """An actor of Ray's: workers tell it steps, the process that asks collects the latest of each chunk."""

    def __init__(self) -> None:
        self.latest: dict[int, tuple[int, int, int]] = {}

    def tell(self, position: int, restart: int, t: int, active: int) -> None:
        """A chunk is at a step, with so many examples under attack."""
        self.latest[position] = (restart, t, active)

    def news(self) -> dict[int, tuple[int, int, int]]:
        """What was told since this was last asked, by the chunks' positions."""
        latest, self.latest = self.latest, {}
        return latest
