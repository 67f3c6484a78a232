"""The tables as the first version declares them; what lacks is added before the revisions run."""

from __future__ import annotations

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No rows to move."""
