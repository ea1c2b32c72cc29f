"""Studies, slots, leases and results in Postgres."""
