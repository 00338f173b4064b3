"""Commands and events from SQL, on PostgreSQL."""
