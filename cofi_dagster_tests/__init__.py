"""Tests of COFI, and what they run against: a simulated fleet, a private MariaDB, batches of tiny files."""
