"""Alembic's environment, the same for every server: run the revisions on the connection that the caller holds."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
