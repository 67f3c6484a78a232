"""Ad-hoc work: audit uploads and reaudits, from the request to the last answer. No Dagster and no HTTP in here."""
