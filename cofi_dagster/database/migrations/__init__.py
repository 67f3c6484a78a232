"""Alembic's environment for COFI's database."""
