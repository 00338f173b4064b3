-- name: fingerprint
SELECT fingerprint FROM twofold_tables WHERE name = ? AND version = ?

-- name: added
INSERT INTO twofold_tables (name, version, fingerprint, live, rollup)
VALUES (?1, ?2, ?3, ?4 AND NOT EXISTS (SELECT 1 FROM twofold_tables WHERE name = ?1), ?5)

-- name: all
SELECT name, version, fingerprint, live FROM twofold_tables ORDER BY name, version

-- name: rollups
SELECT rollup FROM twofold_tables WHERE rollup IS NOT NULL ORDER BY name, version

-- name: live_version
SELECT version FROM twofold_tables WHERE name = ? AND live

-- name: make_live
UPDATE twofold_tables SET live = (version = ?2) WHERE name = ?1

-- name: forget_table
DELETE FROM twofold_tables WHERE name = ? AND version = ?

-- name: forget_checkpoint
DELETE FROM twofold_checkpoints WHERE name = ? AND version = ?

-- name: forget_parked
DELETE FROM twofold_parked WHERE name = ? AND version = ?

-- name: begin_again
UPDATE twofold_checkpoints SET log_id = ?, position = 0, owner = NULL, epoch = epoch + 1,
    generation = lower(hex(randomblob(6)))
WHERE name = ? AND version = ?

-- name: inherit
-- The new table's epochs come after those of the old table, and it belongs to the same App.
UPDATE twofold_checkpoints SET owner = NULL, wanted_by = NULL, (epoch, belongs) = (
    SELECT max(old.epoch) + 1, max(old.belongs)
    FROM twofold_checkpoints old WHERE old.name = ?1 AND old.version = ?2
)
WHERE name = ?3 AND version = ?2

-- name: take_place
UPDATE twofold_checkpoints SET name = ?1 WHERE name = ?3 AND version = ?2

-- name: hand_over_parked
UPDATE twofold_parked SET name = ?1 WHERE name = ?3 AND version = ?2

-- name: named_alike
SELECT type, sql FROM sqlite_schema WHERE name = ? AND type <> 'trigger'

-- name: views
SELECT name FROM sqlite_schema WHERE type = 'view' AND name <> ?

-- name: triggers_on
SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?

-- name: indexes_on
SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL

-- name: tables_of
SELECT name FROM sqlite_schema
WHERE type = 'table' AND (name = ?1 OR substr(name, 1, length(?1) + 2) = ?1 || '__')

-- name: about
-- Checkpoints and parked keys as one JSON object, those of a rollup from its source: with the rows in one statement, and so in one snapshot. A subquery
-- returns JSON as a text: `json` makes it JSON again.
SELECT json_object(
    'checkpoints', json((
        SELECT json_group_array(json_array(partition, log_id, position, owner, epoch, heartbeat, wanted_by))
        FROM twofold_checkpoints WHERE name = ?1 AND version = ?2
    )),
    'parked', json((
        SELECT json_group_array(json_array(kind, key, partition, position, error, since, tries))
        FROM twofold_parked WHERE name = {name} AND version = {version}
    ))
)
