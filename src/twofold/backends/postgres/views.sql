-- name: known
SELECT fingerprint FROM twofold.views WHERE name = $1 AND version = $2

-- name: log_id
SELECT log_id FROM twofold.log

-- name: depends
-- What a view depends on besides itself and columns: each relation with its kind and, for our tables, its name.
SELECT DISTINCT c.oid::regclass::text AS relation, c.relkind::text AS kind, n.nspname = 'twofold' AS ours, c.relname AS name
FROM pg_depend d
JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.ev_class = $1::regclass AND c.oid <> r.ev_class

-- name: add
INSERT INTO twofold.views (name, version, fingerprint, definition, over_names, over_versions, materialised, log_id, position)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)

-- name: reached
-- The position of a materialised view; then the one that a refresh after this statement has at least, and of which log: that
-- of the checkpoints, since the log may be in another database, or the one here.
SELECT v.position, r.position, coalesce(r.log_id, v.log_id), v.refreshed_at
FROM twofold.views v CROSS JOIN LATERAL (
    SELECT coalesce(min(c.position), 0) AS position, CASE WHEN min(c.log_id) < max(c.log_id) THEN '' ELSE min(c.log_id) END AS log_id
    FROM unnest(v.over_names, v.over_versions) o (name, version)
    JOIN twofold.checkpoints c ON c.kind = 'projection' AND c.name = o.name AND c.version = o.version
    HAVING v.over_names <> '{}'
    UNION ALL
    SELECT coalesce((SELECT e.position FROM twofold.events e ORDER BY e.position DESC LIMIT 1), 0), l.log_id
    FROM twofold.log l WHERE v.over_names = '{}'
) r
WHERE v.name = $1 AND v.version = $2

-- name: all
-- With the position of the rows that a read finds now, and the seconds since the refresh of a materialised one.
SELECT v.name, v.version, v.live, v.over_names, v.over_versions, CASE
    WHEN v.materialised THEN v.position
    WHEN v.over_names = '{}' THEN coalesce((SELECT e.position FROM twofold.events e ORDER BY e.position DESC LIMIT 1), 0)
    ELSE coalesce((
        SELECT min(c.position) FROM unnest(v.over_names, v.over_versions) o (name, version)
        JOIN twofold.checkpoints c ON c.kind = 'projection' AND c.name = o.name AND c.version = o.version
    ), 0) END, CASE WHEN v.materialised THEN extract(epoch FROM clock_timestamp() - v.refreshed_at)::float8 END
FROM twofold.views v ORDER BY v.name, v.version

-- name: alone
SELECT pg_try_advisory_xact_lock(1953984358, hashtext(concat_ws(' ', $1::text, $2::integer)))

-- name: refreshed
UPDATE twofold.views SET position = $3, log_id = $4, refreshed_at = clock_timestamp()
WHERE name = $1 AND version = $2 AND refreshed_at = $5
RETURNING pg_notify('twofold_rows', concat_ws(' ', name, version, position))

-- name: move
UPDATE twofold.views SET position = $4 WHERE name = $1 AND version = $2 AND position = $3
RETURNING pg_notify('twofold_rows', concat_ws(' ', name, version, position))

-- name: forget
DELETE FROM twofold.views WHERE name = $1 AND version = $2 RETURNING materialised, live
