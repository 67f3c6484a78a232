"""COFI: evidence for telephone orders, as a Dagster project."""
