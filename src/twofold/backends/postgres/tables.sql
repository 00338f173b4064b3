-- name: one_at_a_time
SELECT pg_advisory_xact_lock(1953984358, 3)

-- name: fingerprint
SELECT fingerprint FROM twofold.tables WHERE name = $1 AND version = $2

-- name: added
INSERT INTO twofold.tables (name, version, fingerprint, live, rollup)
VALUES ($1, $2, $3, $4 AND NOT EXISTS (SELECT FROM twofold.tables WHERE name = $1), $5) RETURNING live

-- name: rollups
SELECT rollup FROM twofold.tables WHERE rollup IS NOT NULL ORDER BY name, version

-- name: all
SELECT t.name, t.version, t.fingerprint, t.live,
    c.partition, c.log_id, c.position, c.owner, c.epoch, c.heartbeat, c.wanted_by, c.generation
FROM twofold.tables t LEFT JOIN twofold.checkpoints c ON c.kind = 'projection' AND c.name = t.name AND c.version = t.version
ORDER BY t.name, t.version, c.partition

-- name: compared
-- The live version, 0 for none, beside each checkpoint of it and of this version.
SELECT coalesce(live.version, 0), c.version, c.partition, c.log_id, c.position, c.owner, c.epoch, c.heartbeat, c.wanted_by, c.generation
FROM twofold.tables this
LEFT JOIN twofold.tables live ON live.name = this.name AND live.live
LEFT JOIN twofold.checkpoints c
ON c.kind = 'projection' AND c.name = this.name AND c.version IN (live.version, this.version)
WHERE this.name = $1 AND this.version = $2

-- name: held
-- Locked against commits, so that they stay as they are.
SELECT version, partition, log_id, position, owner, epoch, heartbeat, wanted_by, generation FROM twofold.checkpoints
WHERE kind = 'projection' AND name = $1 AND version IN ($2, $3) ORDER BY version, partition FOR SHARE

-- name: make_live
UPDATE twofold.tables SET live = (version = $2) WHERE name = $1

-- name: hide
UPDATE twofold.tables SET live = false WHERE name = $1 AND version = $2

-- name: patience
-- Readers queue behind a session that waits for a table lock. Only a vacuum is worth waiting for: it yields after a second.
SELECT set_config('lock_timeout', CASE WHEN EXISTS (
    SELECT FROM pg_locks WHERE relation = to_regclass($1) AND mode = 'ShareUpdateExclusiveLock' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
) THEN '1500ms' ELSE '100ms' END, true)

-- name: both
-- Locked, so that they stay as they are.
SELECT name, partition, log_id, position, owner, epoch, heartbeat, wanted_by, generation FROM twofold.checkpoints
WHERE kind = 'projection' AND name IN ($1, $2) AND version = $3 ORDER BY name, partition FOR UPDATE

-- name: inherit
-- The new table's epochs come after those of the old table, and it belongs to the same App.
UPDATE twofold.checkpoints SET owner = NULL, wanted_by = NULL, (epoch, belongs) = (
    SELECT max(old.epoch) + 1, max(old.belongs)
    FROM twofold.checkpoints old WHERE old.kind = 'projection' AND old.name = $1 AND old.version = $2
)
WHERE kind = 'projection' AND name = $3 AND version = $2

-- name: take_place
UPDATE twofold.checkpoints SET name = $1 WHERE kind = 'projection' AND name = $3 AND version = $2
RETURNING pg_notify('twofold_rows', concat_ws(' ', name, version, position, nullif(partition, 0)))

-- name: hand_over_parked
UPDATE twofold.parked SET name = $1 WHERE kind = 'projection' AND name = $3 AND version = $2

-- name: policies
-- The row-level security of a table ($1) as statements for another one ($2).
SELECT format('ALTER TABLE %s %s ROW LEVEL SECURITY', $2::text, action)
FROM pg_class c CROSS JOIN LATERAL (VALUES ('ENABLE', c.relrowsecurity), ('FORCE', c.relforcerowsecurity)) v (action, there)
WHERE c.oid = to_regclass($1) AND there
UNION ALL
SELECT format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, $2::text,
    CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
    CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
    CASE WHEN p.polroles = '{0}' THEN 'PUBLIC' ELSE (
        SELECT string_agg(quote_ident(pg_get_userbyid(r)), ', ') FROM unnest(p.polroles) r
    ) END,
    ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
FROM pg_policy p WHERE p.polrelid = to_regclass($1)

-- name: views_over
-- The views over a table, and how each is made.
SELECT name, version, definition, materialised FROM twofold.views v
WHERE EXISTS (SELECT FROM unnest(v.over_names, v.over_versions) o (name, version) WHERE o.name = $1 AND o.version = $2)
ORDER BY name, version

-- name: view_may_be_live
-- Whether the name shows this version of a view or a newer one, and whether it may: all tables that it is over, or newer
-- versions of them, are live.
SELECT
    EXISTS (SELECT FROM twofold.views s WHERE s.name = $1 AND s.version >= $2 AND s.live),
    EXISTS (
        SELECT FROM twofold.views v WHERE v.name = $1 AND v.version = $2 AND NOT EXISTS (
            SELECT FROM unnest(v.over_names, v.over_versions) o (name, version) WHERE NOT EXISTS (
                SELECT FROM twofold.tables t WHERE t.name = o.name AND t.version >= o.version AND t.live
            )
        )
    )

-- name: make_view_live
UPDATE twofold.views SET live = (version = $2) WHERE name = $1

-- name: is_live
SELECT live FROM twofold.tables WHERE name = $1 AND version = $2

-- name: grants
-- The rights of roles other than the owner on a table or view ($1), as GRANT statements for another one ($2); each with the
-- column that it is limited to, if it is.
SELECT format('GRANT %s%s ON %s TO %s%s', a.privilege_type, ' (' || quote_ident(g.field) || ')', $2::text,
    CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
    CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), g.field
FROM pg_class c CROSS JOIN LATERAL (
    SELECT NULL::name, c.relacl
    UNION ALL
    SELECT t.attname, t.attacl FROM pg_attribute t WHERE t.attrelid = c.oid AND NOT t.attisdropped
) g (field, acl) CROSS JOIN LATERAL aclexplode(g.acl) a
WHERE c.oid = to_regclass($1) AND a.grantee <> c.relowner

-- name: forget_table
DELETE FROM twofold.tables WHERE name = $1 AND version = $2

-- name: forget_checkpoint
DELETE FROM twofold.checkpoints WHERE kind = 'projection' AND name = $1 AND version = $2

-- name: forget_parked
DELETE FROM twofold.parked WHERE kind = 'projection' AND name = $1 AND version = $2

-- name: begin_again
UPDATE twofold.checkpoints SET log_id = $3, position = 0, owner = NULL, epoch = epoch + 1, generation = DEFAULT
WHERE kind = 'projection' AND name = $1 AND version = $2

-- name: indexes
SELECT indexname FROM pg_indexes WHERE schemaname = 'twofold' AND indexname = ANY ($1)

-- name: named_alike
SELECT c.relkind::text, coalesce(obj_description(c.oid, 'pg_class'), '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relname = $1

-- name: about
-- Checkpoints and parked keys (of a rollup, those of its source) as one JSON object, so that a query can return them as its first row. Parked keys are sorted
-- where they are read: no index has this order, and there are few.
SELECT json_build_object(
    'checkpoints', ARRAY(
        SELECT json_build_array(c.partition, c.log_id, c.position, c.owner, c.epoch, c.heartbeat, c.wanted_by, c.generation)
        FROM twofold.checkpoints c WHERE c.kind = 'projection' AND c.name = $1 AND c.version = $2 ORDER BY c.partition
    ),
    'parked', ARRAY(
        SELECT json_build_array(p.what, p.key, p.partition, p.position, p.error, p.since, p.tries)
        FROM twofold.parked p WHERE p.kind = 'projection' AND p.name = {name} AND p.version = {version}
    )
)::text

-- name: about_view
-- The same for a view. A materialised one has the position at which it was refreshed. Any other is as far as the last of
-- the projections it is over, and over plain tables at the head of the log: rows, checkpoints and log are read in one
-- snapshot. What is parked there may be any row here.
SELECT json_build_object(
    'checkpoints', ARRAY(
        SELECT json_build_array(0, v.log_id, v.position, NULL, 0, 0, NULL, '')
        FROM twofold.views v WHERE v.name = $1 AND v.version = $2 AND v.materialised
        UNION ALL
        SELECT json_build_array(
            c.partition, CASE WHEN min(c.log_id) = max(c.log_id) THEN min(c.log_id) ELSE '' END, min(c.position), NULL, 0, 0, NULL, ''
        )
        FROM twofold.views v CROSS JOIN LATERAL unnest(v.over_names, v.over_versions) o (name, version)
        JOIN twofold.checkpoints c ON c.kind = 'projection' AND c.name = o.name AND c.version = o.version
        WHERE v.name = $1 AND v.version = $2 AND NOT v.materialised
        GROUP BY c.partition
        UNION ALL
        SELECT json_build_array(
            0, l.log_id, coalesce((SELECT e.position FROM twofold.events e ORDER BY e.position DESC LIMIT 1), 0), NULL, 0, 0, NULL, ''
        )
        FROM twofold.views v CROSS JOIN twofold.log l
        WHERE v.name = $1 AND v.version = $2 AND NOT v.materialised AND v.over_names = '{}'
    ),
    'parked', ARRAY(
        SELECT json_build_array('stream', p.name || ' ' || p.key, p.partition, p.position, p.error, p.since, p.tries)
        FROM twofold.views v CROSS JOIN LATERAL unnest(v.over_names, v.over_versions) o (name, version)
        JOIN twofold.parked p ON p.kind = 'projection' AND p.name = o.name AND p.version = o.version
        WHERE v.name = $1 AND v.version = $2
    )
)::text
