"""Search and confirmation have Optuna studies of their own: whoever mirrors next makes them in place of the one."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Forget the one Optuna study; what it shows is in our tables, and it goes when the new ones are made."""
    op.execute("ALTER TABLE ablate_study DROP COLUMN optuna_study_id")
    op.execute("ALTER TABLE ablate_study ADD COLUMN is_mirrored BOOLEAN DEFAULT false NOT NULL")
    op.execute("COMMENT ON COLUMN ablate_study.is_mirrored IS 'its Optuna studies were made'")
