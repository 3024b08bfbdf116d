"""What waits for the writer: requests that may share a transaction, and changes that run alone in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from wattseal.ingest.admission import Examined, Round
from wattseal.ingest.receipt import Receipt
from wattseal.ingest.reported import Reported, ReportedAdmission
from wattseal.log.port import BatchRow

T = TypeVar("T")


class Job(Generic[T]):
    """Something for the writer to do; afterwards `error` is there, or `result` is."""

    __slots__ = ("error", "result")

    result: T

    def __init__(self) -> None:
        self.error: Exception | None = None


class ReadingsJob(Job[list[Receipt]]):
    """One request's readings, after the workers looked at them."""

    __slots__ = ("examined", "items")

    def __init__(self, items: Sequence[bytes], examined: Sequence[Examined]) -> None:
        super().__init__()
        self.items = items
        self.examined = examined

    def __len__(self) -> int:
        return len(self.items)

    def work(self, work: Round) -> list[Receipt]:
        """Admit them."""
        return work.readings(self.items, self.examined)


class ReportedJob(Job[list[Receipt]]):
    """One request's well-formed intervals."""

    __slots__ = ("_admission", "items")

    def __init__(self, items: Sequence[Reported], admission: ReportedAdmission) -> None:
        super().__init__()
        self.items = items
        self._admission = admission

    def __len__(self) -> int:
        return len(self.items)

    def work(self, work: Round) -> list[Receipt]:
        """Admit them."""
        return self._admission.admit(work, self.items)


class CallJob(Job[Any]):
    """Any other change: it runs alone in a transaction."""

    __slots__ = ("work",)

    def __init__(self, work: Callable[[Round], Any]) -> None:
        super().__init__()
        self.work = work


class FlushJob(Job[BatchRow]):
    """Close the batch now."""

    __slots__ = ()


SharedJob: TypeAlias = ReadingsJob | ReportedJob
