-- name: checkpoints
CREATE TABLE IF NOT EXISTS twofold_checkpoints (
    name       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    partition  INTEGER NOT NULL,
    log_id     TEXT    NOT NULL,
    position   INTEGER NOT NULL,
    owner      TEXT,
    epoch      INTEGER NOT NULL,
    heartbeat  INTEGER NOT NULL,
    wanted_by  TEXT,
    belongs    TEXT,
    generation TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (name, version, partition)
) STRICT, WITHOUT ROWID

-- name: parked
CREATE TABLE IF NOT EXISTS twofold_parked (
    name      TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    error     TEXT    NOT NULL,
    since     TEXT    NOT NULL,
    tries     INTEGER NOT NULL DEFAULT 1,
    traceback TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (name, version, kind, key)
) STRICT, WITHOUT ROWID

-- name: tables
CREATE TABLE IF NOT EXISTS twofold_tables (
    name        TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    fingerprint TEXT    NOT NULL,
    live        INTEGER NOT NULL,
    rollup      TEXT,
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID
