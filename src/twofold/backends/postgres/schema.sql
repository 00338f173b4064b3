-- name: is_there
-- Not to_regclass: its result may be older than the lock.
SELECT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'twofold' AND c.relname = 'migrations'
)

-- name: newest
SELECT coalesce(max(number), 0) FROM twofold.migrations

-- name: one_at_a_time
SELECT pg_advisory_xact_lock(1953984358, 2)

-- name: applied
INSERT INTO twofold.migrations (number, name) VALUES ($1, $2)
