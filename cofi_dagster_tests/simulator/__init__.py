"""Tests of what the other tests run against: the simulated fleet, the private MariaDB, the batch maker."""
