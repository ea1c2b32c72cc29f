"""Migrations of the store's own tables, for alembic."""
