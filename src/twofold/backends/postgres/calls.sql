-- name: run
SELECT states, answers, positions, messages, details, constraints FROM twofold.run($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: forget
DELETE FROM twofold.calls WHERE command_id = ANY ($1)

-- name: described
-- Functions of a name, in a schema or where the search path finds them.
SELECT
    n.nspname AS schema, p.proname AS name,
    coalesce(p.proargnames, '{}') AS names, coalesce(p.proargmodes::text[], '{}') AS modes,
    ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes::oid[]) t) AS types,
    p.pronargdefaults AS defaults, p.prorettype = 'void'::regtype AS returns_nothing
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.prokind = 'f' AND p.proname = $2 AND CASE WHEN $1::text IS NULL THEN pg_function_is_visible(p.oid) ELSE n.nspname = $1 END
