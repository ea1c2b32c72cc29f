"""What alembic executes: the migrations over the connection that ``ablate.store.migration`` hands over."""

from alembic import context

from ablate.store.schema import metadata
from ablate.store.schema_version import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
