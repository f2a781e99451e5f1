"""The environment that Alembic loads by its path; see `migrations.py`."""
