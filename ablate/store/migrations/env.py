"""What alembic executes: the migrations over the connection that ``ablate.store.migration`` hands over."""

from alembic import context

from ablate.store.migration import VERSION_TABLE
from ablate.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
