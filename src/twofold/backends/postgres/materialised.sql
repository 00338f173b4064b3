-- name: over
-- The materialised views over any of these tables, with what follows the word INDEX in the definition of each index.
SELECT v.name, v.version, v.definition, v.live, ARRAY(
    SELECT concat(CASE WHEN i.indisunique THEN 'UNIQUE ' END, 'INDEX') || ' ON %s' || substring(pg_get_indexdef(i.indexrelid) FROM ' USING .*')
    FROM pg_index i WHERE i.indrelid = to_regclass(format('twofold.%I', v.name || '_v' || v.version))
) AS indexes
FROM twofold.views v
WHERE v.materialised AND EXISTS (
    SELECT FROM unnest(v.over_names, v.over_versions) o (name, version)
    JOIN unnest($1::text[], $2::integer[]) t (name, version) USING (name, version)
)
ORDER BY v.name, v.version

-- name: patience
-- For the refresh in progress; the next one is left out until the end of this transaction.
SELECT set_config('lock_timeout', '60s', true)

-- name: alone
SELECT pg_advisory_xact_lock(1953984358, hashtext(concat_ws(' ', $1::text, $2::integer)))

-- name: columns
SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped

-- name: shown_as
-- Whether the public name is our view of this version.
SELECT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relname = $1 AND c.relkind = 'v'
        AND obj_description(c.oid, 'pg_class') = 'twofold: read model, version ' || $2::integer
)

-- name: outdate
-- It is at no position until it is refreshed, and a refresh that has begun does not count.
UPDATE twofold.views SET position = 0, refreshed_at = clock_timestamp() WHERE name = $1 AND version = $2
