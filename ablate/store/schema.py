"""Tables of the store, and how they come into a database.

    ablate_study ─┬─ ablate_slot ─┬─ ablate_lease     at most one: who works on it now, until when
                  │               ├─ ablate_attempt   one for each lease ever given, numbered by its fencing token
                  │               ├─ ablate_result    at most one, for ever: the primary key is the slot
                  │               └─ ablate_test_read one for each opening of the test fold
                  ├─ ablate_artifact                  predictions of a slot, or of the whole study
                  └─ ablate_agent                     who fills slots, and what each does now

Optuna's own tables stand beside them in the same database and follow them (see ``optuna_mirror``).
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

metadata = MetaData()
_time = DateTime(timezone=True)
_now = func.now()

study = Table(
    "ablate_study",
    metadata,
    Column("id", Text, primary_key=True, server_default=text("(gen_random_uuid())::text"), comment="unique for ever"),
    Column("name", Text, nullable=False, unique=True),
    Column("spec", JSON, nullable=False),
    Column("spec_digest", Text, nullable=False),
    Column("metric_names", JSON, nullable=False),
    Column("distributions", JSON, nullable=False, comment="Optuna's JSON for each searched parameter"),
    Column("max_attempts", Integer, nullable=False),
    Column("created_at", _time, nullable=False, server_default=_now),
    Column("seal", JSON),
    Column("sealed_at", _time),
    Column("stop_requested_at", _time),
    Column(
        "is_mirrored", Boolean, nullable=False, server_default=text("false"), comment="its Optuna studies were made"
    ),
    Column("is_mirroring", Boolean, nullable=False, server_default=text("false"), comment="a pass has begun"),
)

slot = Table(
    "ablate_slot",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("study_id", ForeignKey("ablate_study.id", ondelete="CASCADE"), nullable=False),
    Column("ordinal", Integer, nullable=False, comment="place in the plan"),
    Column("key", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("arm", Text, nullable=False),
    Column("context", JSON, nullable=False),
    Column("search", Integer, nullable=False, comment="which of the arm's independent searches it belongs to"),
    Column("index", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("chain", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("params", JSON(none_as_null=True)),
    Column("state", Text, nullable=False),
    Column("token", Integer, nullable=False, server_default="0", comment="fencing token: leases given"),
    Column("failures", Integer, nullable=False, server_default="0", comment="attempts that count against max_attempts"),
    Column("losses", Integer, nullable=False, server_default="0", comment="attempts lost since it last came further"),
    Column("reached", Integer, nullable=False, server_default="0", comment="how far the furthest attempt had come"),
    Column("reason", Text),
    Column("not_before", _time, nullable=False, server_default=_now, comment="back-off after a failed attempt"),
    Column("stale", Boolean, nullable=False, server_default=text("false"), comment="its Optuna trial must follow"),
    Column("trial_id", Integer),
    Column("rungs", JSON(none_as_null=True), comment="what it must score, by epoch, to be trained to its end"),
    Column("stopped_epoch", Integer, comment="of fine-tuning, after which it was stopped early"),
    Column("asked", Text, comment="digest of what was asked for: params, seed, data and encoder by name"),
    Column("reused_from", JSON(none_as_null=True), comment="study and slot that the result was taken from"),
    UniqueConstraint("study_id", "key"),
    UniqueConstraint("study_id", "ordinal"),
)
Index(
    "ablate_slot_waiting", slot.c.study_id, slot.c.priority, slot.c.ordinal, postgresql_where=slot.c.state == "waiting"
)
Index(
    "ablate_slot_unfinished",
    slot.c.study_id,
    slot.c.chain,
    slot.c.generation,
    postgresql_where=slot.c.state.in_(["waiting", "leased"]),
)
Index("ablate_slot_asked", slot.c.asked, postgresql_where=slot.c.state == "done")
Index("ablate_slot_stale", slot.c.study_id, slot.c.ordinal, postgresql_where=slot.c.stale)

agent = Table(
    "ablate_agent",
    metadata,
    Column("id", Text, primary_key=True),
    Column("study_id", ForeignKey("ablate_study.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("device", Text, nullable=False),
    Column("facts", JSON, nullable=False, comment="versions, digests, measured rates"),
    Column("started_at", _time, nullable=False, server_default=_now),
    Column("seen_at", _time, nullable=False, server_default=_now),
    Column("ended_at", _time),
)

lease = Table(
    "ablate_lease",
    metadata,
    Column("slot_id", ForeignKey("ablate_slot.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("study_id", Text, nullable=False),
    Column("token", Integer, nullable=False),
    Column("agent_id", Text, nullable=False),
    Column("lease_s", Double, nullable=False),
    Column("deadline", _time, nullable=False),
    Column("progress", JSON(none_as_null=True)),
    Column("shown_epoch", Integer, comment="the last that its Optuna trial shows"),
)

attempt = Table(
    "ablate_attempt",
    metadata,
    Column("slot_id", ForeignKey("ablate_slot.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("token", Integer, primary_key=True, autoincrement=False),
    Column("nonce", Text, nullable=False, unique=True, comment="tells it from every other attempt in any store"),
    Column("agent_id", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("started_at", _time, nullable=False, server_default=_now),
    Column("ended_at", _time),
    Column("outcome", Text, comment="null while it goes on"),
    Column("message", Text),
)

result = Table(
    "ablate_result",
    metadata,
    Column("slot_id", ForeignKey("ablate_slot.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("token", Integer, nullable=False),
    Column("told_at", _time, nullable=False, server_default=_now),
    Column("scores", JSON, nullable=False),
    Column("epochs", JSON, nullable=False, comment="a list for each column"),
    Column("class_scores", JSON, nullable=False, comment="a list for each column"),
    Column("seconds", JSON, nullable=False),
    Column("digests", JSON, nullable=False),
    Column("facts", JSON, nullable=False, comment="the rest of the document"),
    Column("fingerprint", Text, comment="digest of all that decided the scores"),
)

artifact = Table(
    "ablate_artifact",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("study_id", ForeignKey("ablate_study.id", ondelete="CASCADE"), nullable=False),
    Column("slot_id", ForeignKey("ablate_slot.id", ondelete="CASCADE"), index=True, comment="null: of the whole study"),
    Column("name", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("digest", Text, nullable=False, comment="SHA-256 of the content, as its writer had it"),
    UniqueConstraint("study_id", "slot_id", "name", postgresql_nulls_not_distinct=True),
)

test_read = Table(
    "ablate_test_read",
    metadata,
    Column("slot_id", ForeignKey("ablate_slot.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("token", Integer, primary_key=True, autoincrement=False),
    Column("agent_id", Text, nullable=False),
    Column("opened_at", _time, nullable=False, server_default=_now),
)
