"""Alembic's entry: runs the revisions on the connection that the upgrade holds, or writes them as SQL without one.

COFI's revisions are counted in a table of their own: Dagster, or a service that had the database before COFI, may count
its own in ``alembic_version``.
"""

from __future__ import annotations

from alembic import context

from cofi_dagster.database.migrations import VERSION_TABLE

if context.is_offline_mode():
    context.configure(dialect_name="mysql", version_table=VERSION_TABLE, literal_binds=True)
else:
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, version_table=VERSION_TABLE, transactional_ddl=False)
context.run_migrations()
