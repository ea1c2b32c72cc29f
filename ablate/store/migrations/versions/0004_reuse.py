"""By what a slot is found in other studies, and where a result was taken from."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add them; results of before are never taken, since nobody knows what decided them."""
    asked = "digest of what was asked for: params, seed, data and encoder by name"
    taken = "study and slot that the result was taken from"
    decided = "digest of all that decided the scores"
    op.add_column("ablate_slot", sa.Column("asked", sa.Text, comment=asked))
    op.add_column("ablate_slot", sa.Column("reused_from", sa.JSON(none_as_null=True), comment=taken))
    op.add_column("ablate_result", sa.Column("fingerprint", sa.Text, comment=decided))
    op.create_index("ablate_slot_asked", "ablate_slot", ["asked"], postgresql_where=sa.text("state = 'done'"))


def downgrade() -> None:
    """Forget them."""
    op.drop_index("ablate_slot_asked", "ablate_slot")
    op.drop_column("ablate_result", "fingerprint")
    op.drop_column("ablate_slot", "reused_from")
    op.drop_column("ablate_slot", "asked")
