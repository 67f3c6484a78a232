"""Tests of the database: upgrade and adoption, the SQL that people run, faults, retention, Dagster's storage on it."""
