"""Every error that a user can cause or meet, grouped by who acts on it.

    AblateError
    ├── OptionError         who typed the command: an option or argument cannot be used            exit 2
    ├── SpecError           author of the study: the study file or an override is wrong            exit 2
    ├── DataError           who keeps the data: records, metadata, prepared arrays, disk space     exit 3
    │   └── SealedError     code that reads the test fold before or outside a confirmation
    ├── CheckpointError     who keeps the weights: missing, misshaped or unsafe checkpoint         exit 3
    ├── StoreError          operator of the database: credentials, schema, another spec            exit 4
    │   ├── StoreUnavailable  the database is away: retried with back-off
    │   ├── ForeignStore    another store or study stands where ours did: the agent stops, its results wait
    │   └── LeaseLost       the lease ran out and the slot belongs to somebody else: result dropped
    ├── LaunchError         who starts workers: an engine is missing, unreachable or too small     exit 5
    └── TrialError          recorded with the attempt; the study goes on                           exit 1
        ├── Diverged        loss or scores are not finite
        ├── OutOfMemory     the device or the machine has too little memory
        ├── RoutineFailed   a routine of the user's own raises, or gives what cannot be scored
        └── TrainerLost     the trainer process died or hung
            └── TrainerKilled   it was killed from outside, which is not the trial's fault

A message names the file, the key, the value, what was expected and what to do. Errors of other libraries are mapped
once, where they enter, with ``raise ... from``. The command line catches ``AblateError`` only, so a bug keeps its
traceback.
"""


def first_line(error: Exception) -> str:
    """What another library says in the first line of its error, for a message of ours; its name where it says nothing.

    At most 120 characters.
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


class AblateError(Exception):
    """Root of the tree; ``exit_status`` is what the command line exits with. What is said of it is one line."""

    exit_status = 1

    def __str__(self) -> str:
        return " ".join(super().__str__().split())  # what a file or another library says may hold several


class OptionError(AblateError):
    """An option or an argument of a command cannot be used."""

    exit_status = 2


class SpecError(AblateError):
    """The study file, or an override of it, cannot be used."""

    exit_status = 2


class DataError(AblateError):
    """Records, metadata or prepared arrays are missing, damaged or cannot be written.

    Attributes:
        kind: under which a check of many records counts it.
        by_rule: whether the study declares that such a record is left out, so that it is counted and no error.
    """

    exit_status = 3

    def __init__(self, message: str, *, kind: str = "damage", by_rule: bool = False) -> None:
        super().__init__(message)
        self.kind, self.by_rule = kind, by_rule


class SealedError(DataError):
    """The test fold was touched without a permit."""


class CheckpointError(AblateError):
    """A checkpoint is missing, damaged, of another shape or would execute code."""

    exit_status = 3


class StoreError(AblateError):
    """The store refuses: wrong credentials, another schema, another spec under the same name."""

    exit_status = 4


class StoreUnavailable(StoreError):
    """The database cannot be reached now; callers retry with back-off."""


class ForeignStore(StoreError):
    """Another store, or another study of the same name, stands where ours did; nothing of ours may enter it."""


class LeaseLost(StoreError):
    """The lease of a slot ran out and was given to another agent; the late result is dropped."""


class LaunchError(AblateError):
    """Workers cannot be started as asked."""

    exit_status = 5


class TrialError(AblateError):
    """One trial cannot be finished; recorded with its attempt, and the study goes on."""

    exit_status = 1


class Diverged(TrialError):
    """The loss or a score is not finite."""


class OutOfMemory(TrialError):
    """The device or the machine has too little memory for this trial."""


class RoutineFailed(TrialError):
    """A routine of the user's own raises, or gives what cannot be scored."""


class TrainerLost(TrialError):
    """The trainer process died or made no progress for too long."""


class TrainerKilled(TrainerLost):
    """The trainer process was killed from outside, which is not the trial's fault."""
