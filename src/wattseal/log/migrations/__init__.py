"""The history of the tables of log/schema.py, for Alembic."""
