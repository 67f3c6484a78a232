"""Tests of how batches stand: steps, pause and cancel, dead runs, time remaining, alerts."""
