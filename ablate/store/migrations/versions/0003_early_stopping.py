"""What a search trial must reach to be trained to its end, and where it was stopped."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add both; trials of before ran to their end."""
    rungs = "what it must score, by epoch, to be trained to its end"
    stopped = "of fine-tuning, after which it was stopped early"
    op.add_column("ablate_slot", sa.Column("rungs", sa.JSON(none_as_null=True), comment=rungs))
    op.add_column("ablate_slot", sa.Column("stopped_epoch", sa.Integer, comment=stopped))


def downgrade() -> None:
    """Forget both."""
    op.drop_column("ablate_slot", "stopped_epoch")
    op.drop_column("ablate_slot", "rungs")
