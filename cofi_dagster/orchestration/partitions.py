"""The partitions: one per batch, added when its directory is complete or a person names it. Keys are never deleted."""

from __future__ import annotations

import dagster as dg

BATCHES = dg.DynamicPartitionsDefinition(name="batches")
"""Keys are ``<batchDate>_<batchNumber>``, the names of the batch directories."""
