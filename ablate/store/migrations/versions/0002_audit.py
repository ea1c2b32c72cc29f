"""When a study's Optuna trials were last compared with its slots, so that agents need not all do it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the time."""
    comment = "when its Optuna trials were last compared with its slots"
    op.add_column("ablate_study", sa.Column("audited_at", sa.DateTime(timezone=True), comment=comment))


def downgrade() -> None:
    """Forget the time."""
    op.drop_column("ablate_study", "audited_at")
