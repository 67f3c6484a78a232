"""All that imports Dagster: partitions, assets, checks, jobs, sensors, resources, the instance and the launcher."""
