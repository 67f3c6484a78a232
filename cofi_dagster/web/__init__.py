"""The pages and the API, beside the Dagster UI on one address, behind one set of keys."""
