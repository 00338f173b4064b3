-- name: known
SELECT f.category, f.type, f.schema, f.fingerprint FROM twofold.forms f WHERE f.app = $1

-- name: install
INSERT INTO twofold.forms (app, category, type, schema, fingerprint, shape, fields, integers)
VALUES ($1, $2, $3, $4, $5, $6::text::jsonpath, $7::text::jsonb, $8)
ON CONFLICT DO NOTHING
