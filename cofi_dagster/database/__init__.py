"""The database: tables, engine, migrations, queries. No Dagster, no HTTP."""
