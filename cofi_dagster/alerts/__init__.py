"""Alerts: what is wrong with batches at work, told once, and told again when it is over. No Dagster in here."""
