"""Progress of chunks that workers compute. Never imports torch, so that its process is small."""


class ProgressActor:
    """Ray actor to which workers report steps; the calling process collects the latest step of each chunk."""

    def __init__(self) -> None:
        self.latest: dict[int, tuple[int, int, int]] = {}

    def tell(self, position: int, restart: int, t: int, active: int) -> None:
        """Record a chunk's step and its number of examples under attack."""
        self.latest[position] = (restart, t, active)

    def news(self) -> dict[int, tuple[int, int, int]]:
        """Return the reports since the last call, by the chunks' positions."""
        latest, self.latest = self.latest, {}
        return latest
