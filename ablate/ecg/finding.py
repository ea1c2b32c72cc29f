"""What is wrong with a collection of records: everything at once, each under a kind by which it can be counted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.errors import DataError


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, in one line.

    Attributes:
        kind: such as "labels", "gap" or "duplicate".
        is_fatal: whether nothing can be trained before it is mended; otherwise it should be known.
    """

    kind: str
    text: str
    is_fatal: bool = True


class DataFindings(DataError):
    """Several things are wrong; said as the first of them and how many more there are.

    Attributes:
        findings: all of them.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        fatal = [each for each in findings if each.is_fatal]
        more = f" (and {len(fatal) - 1} more: `ablate data check` lists them)" if len(fatal) > 1 else ""
        super().__init__(f"{fatal[0].text}{more}", kind=fatal[0].kind)
        self.findings = tuple(findings)

    def __reduce__(self) -> tuple[type["DataFindings"], tuple[tuple[Finding, ...]]]:
        """As it was made, so that it can travel to another process."""
        return type(self), (self.findings,)


def refuse_fatal(findings: Sequence[Finding]) -> None:
    """See that nothing fatal is among ``findings``.

    Raises:
        DataFindings: there is.
    """
    if any(each.is_fatal for each in findings):
        raise DataFindings(findings)


def count_kinds(findings: Sequence[Finding]) -> dict[str, int]:
    """How many there are of each kind, most frequent first."""
    return dict(Counter(each.kind for each in findings).most_common())
