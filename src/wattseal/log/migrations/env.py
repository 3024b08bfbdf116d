"""Run by Alembic for each command, with what log/migrations/run.py put into the configuration's attributes."""

from __future__ import annotations

from alembic import context

if context.is_offline_mode():
    context.configure(dialect_name=context.config.attributes["dialect"], literal_binds=True)
else:
    context.configure(connection=context.config.attributes["connection"])

with context.begin_transaction():
    context.run_migrations()
