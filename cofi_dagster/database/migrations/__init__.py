"""Alembic's environment for COFI's database."""

VERSION_TABLE = "cofiRevision"
