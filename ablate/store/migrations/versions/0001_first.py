"""The first tables."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE ablate_study (
    id TEXT DEFAULT (gen_random_uuid())::text NOT NULL,
    name TEXT NOT NULL,
    spec JSON NOT NULL,
    spec_digest TEXT NOT NULL,
    metric_names JSON NOT NULL,
    distributions JSON NOT NULL,
    max_attempts INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    seal JSON,
    sealed_at TIMESTAMP WITH TIME ZONE,
    stop_requested_at TIMESTAMP WITH TIME ZONE,
    optuna_study_id INTEGER,
    is_mirroring BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (name)
);
COMMENT ON COLUMN ablate_study.id IS 'unique for ever';
COMMENT ON COLUMN ablate_study.distributions IS 'Optuna''s JSON for each searched parameter';
COMMENT ON COLUMN ablate_study.optuna_study_id IS 'null until it was made';
COMMENT ON COLUMN ablate_study.is_mirroring IS 'a pass has begun';
CREATE TABLE ablate_agent (
    id TEXT NOT NULL,
    study_id TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    device TEXT NOT NULL,
    facts JSON NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    FOREIGN KEY(study_id) REFERENCES ablate_study (id) ON DELETE CASCADE
);
CREATE INDEX ix_ablate_agent_study_id ON ablate_agent (study_id);
COMMENT ON COLUMN ablate_agent.facts IS 'versions, digests, measured rates';
CREATE TABLE ablate_slot (
    id BIGSERIAL NOT NULL,
    study_id TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    key TEXT NOT NULL,
    phase TEXT NOT NULL,
    arm TEXT NOT NULL,
    context JSON NOT NULL,
    search INTEGER NOT NULL,
    index INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    chain TEXT NOT NULL,
    priority INTEGER NOT NULL,
    seed BIGINT NOT NULL,
    params JSON,
    state TEXT NOT NULL,
    token INTEGER DEFAULT '0' NOT NULL,
    failures INTEGER DEFAULT '0' NOT NULL,
    losses INTEGER DEFAULT '0' NOT NULL,
    reached INTEGER DEFAULT '0' NOT NULL,
    reason TEXT,
    not_before TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    stale BOOLEAN DEFAULT false NOT NULL,
    trial_id INTEGER,
    rungs JSON,
    stopped_epoch INTEGER,
    asked TEXT,
    reused_from JSON,
    PRIMARY KEY (id),
    UNIQUE (study_id, key),
    UNIQUE (study_id, ordinal),
    FOREIGN KEY(study_id) REFERENCES ablate_study (id) ON DELETE CASCADE
);
CREATE INDEX ablate_slot_asked ON ablate_slot (asked) WHERE state = 'done';
CREATE INDEX ablate_slot_stale ON ablate_slot (study_id, ordinal) WHERE stale;
CREATE INDEX ablate_slot_unfinished ON ablate_slot (study_id, chain, generation) WHERE state IN ('waiting', 'leased');
CREATE INDEX ablate_slot_waiting ON ablate_slot (study_id, priority, ordinal) WHERE state = 'waiting';
COMMENT ON COLUMN ablate_slot.ordinal IS 'place in the plan';
COMMENT ON COLUMN ablate_slot.search IS 'which of the arm''s independent searches it belongs to';
COMMENT ON COLUMN ablate_slot.token IS 'fencing token: leases given';
COMMENT ON COLUMN ablate_slot.failures IS 'attempts that count against max_attempts';
COMMENT ON COLUMN ablate_slot.losses IS 'attempts lost since it last came further';
COMMENT ON COLUMN ablate_slot.reached IS 'how far the furthest attempt had come';
COMMENT ON COLUMN ablate_slot.not_before IS 'back-off after a failed attempt';
COMMENT ON COLUMN ablate_slot.stale IS 'its Optuna trial must follow';
COMMENT ON COLUMN ablate_slot.rungs IS 'what it must score, by epoch, to be trained to its end';
COMMENT ON COLUMN ablate_slot.stopped_epoch IS 'of fine-tuning, after which it was stopped early';
COMMENT ON COLUMN ablate_slot.asked IS 'digest of what was asked for: params, seed, data and encoder by name';
COMMENT ON COLUMN ablate_slot.reused_from IS 'study and slot that the result was taken from';
CREATE TABLE ablate_artifact (
    id BIGSERIAL NOT NULL,
    study_id TEXT NOT NULL,
    slot_id BIGINT,
    name TEXT NOT NULL,
    content BYTEA NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE NULLS NOT DISTINCT (study_id, slot_id, name),
    FOREIGN KEY(study_id) REFERENCES ablate_study (id) ON DELETE CASCADE,
    FOREIGN KEY(slot_id) REFERENCES ablate_slot (id) ON DELETE CASCADE
);
CREATE INDEX ix_ablate_artifact_slot_id ON ablate_artifact (slot_id);
COMMENT ON COLUMN ablate_artifact.slot_id IS 'null: of the whole study';
COMMENT ON COLUMN ablate_artifact.digest IS 'SHA-256 of the content, as its writer had it';
CREATE TABLE ablate_attempt (
    slot_id BIGINT NOT NULL,
    token INTEGER NOT NULL,
    nonce TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    host TEXT NOT NULL,
    device TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    outcome TEXT,
    message TEXT,
    PRIMARY KEY (slot_id, token),
    FOREIGN KEY(slot_id) REFERENCES ablate_slot (id) ON DELETE CASCADE,
    UNIQUE (nonce)
);
COMMENT ON COLUMN ablate_attempt.nonce IS 'tells it from every other attempt in any store';
COMMENT ON COLUMN ablate_attempt.outcome IS 'null while it goes on';
CREATE TABLE ablate_lease (
    slot_id BIGINT NOT NULL,
    study_id TEXT NOT NULL,
    token INTEGER NOT NULL,
    agent_id TEXT NOT NULL,
    lease_s DOUBLE PRECISION NOT NULL,
    deadline TIMESTAMP WITH TIME ZONE NOT NULL,
    progress JSON,
    shown_epoch INTEGER,
    PRIMARY KEY (slot_id),
    FOREIGN KEY(slot_id) REFERENCES ablate_slot (id) ON DELETE CASCADE
);
COMMENT ON COLUMN ablate_lease.shown_epoch IS 'the last that its Optuna trial shows';
CREATE TABLE ablate_result (
    slot_id BIGINT NOT NULL,
    token INTEGER NOT NULL,
    told_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    scores JSON NOT NULL,
    epochs JSON NOT NULL,
    class_scores JSON NOT NULL,
    seconds JSON NOT NULL,
    digests JSON NOT NULL,
    facts JSON NOT NULL,
    fingerprint TEXT,
    PRIMARY KEY (slot_id),
    FOREIGN KEY(slot_id) REFERENCES ablate_slot (id) ON DELETE CASCADE
);
COMMENT ON COLUMN ablate_result.epochs IS 'a list for each column';
COMMENT ON COLUMN ablate_result.class_scores IS 'a list for each column';
COMMENT ON COLUMN ablate_result.facts IS 'the rest of the document';
COMMENT ON COLUMN ablate_result.fingerprint IS 'digest of all that decided the scores';
CREATE TABLE ablate_test_read (
    slot_id BIGINT NOT NULL,
    token INTEGER NOT NULL,
    agent_id TEXT NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (slot_id, token),
    FOREIGN KEY(slot_id) REFERENCES ablate_slot (id) ON DELETE CASCADE
);
"""


def upgrade() -> None:
    """Create everything."""
    op.execute(TABLES)


def downgrade() -> None:
    """There is nothing before it."""
    raise NotImplementedError
