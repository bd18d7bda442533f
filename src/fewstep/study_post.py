"""What passes between the runs of a study on a cluster and the command that waits for them."""

import asyncio


class Post:
    """A Ray actor: letters to the command, and its wish to stop to the runs. Its process imports nothing heavy."""

    def __init__(self) -> None:
        self._begun: set[int] = set()
        self._letters: list[tuple[int, object]] = []
        self._stopping = asyncio.Event()

    async def begin(self, run: int) -> bool:
        """Whether a run, known by its number, may begin: not once the command wants to stop."""
        if not self._stopping.is_set():
            self._begun.add(run)
        return not self._stopping.is_set()

    async def put(self, run: int, what: object) -> None:
        """Leave a letter from a run."""
        self._letters.append((run, what))

    async def take(self) -> list[tuple[int, object]]:
        """The letters since the last time, oldest first."""
        letters, self._letters = self._letters, []
        return letters

    async def stop(self) -> set[int]:
        """Let every `stopped` return, and no other run begin than the ones told here."""
        self._stopping.set()
        return self._begun

    async def stopped(self) -> None:
        """Return once the command wants to stop."""
        await self._stopping.wait()
