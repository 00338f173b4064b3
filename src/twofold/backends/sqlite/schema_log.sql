-- name: log
CREATE TABLE IF NOT EXISTS twofold_log (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    log_id    TEXT    NOT NULL,
    schema    INTEGER NOT NULL,
    partition INTEGER NOT NULL DEFAULT 0
) STRICT

-- name: events
CREATE TABLE IF NOT EXISTS twofold_events (
    position    INTEGER PRIMARY KEY,
    stream      TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    type        TEXT    NOT NULL,
    schema      INTEGER NOT NULL,
    data        TEXT    NOT NULL,
    meta        TEXT    NOT NULL,
    recorded_at TEXT    NOT NULL,
    UNIQUE (stream, version)
) STRICT

-- name: commands
CREATE TABLE IF NOT EXISTS twofold_commands (
    stream     TEXT    NOT NULL,
    command_id TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    events     INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    PRIMARY KEY (stream, command_id)
) STRICT, WITHOUT ROWID

-- name: requests
-- Requests with an idempotency key. The last five columns are the response; NULL until there is one, and after it expired.
CREATE TABLE IF NOT EXISTS twofold_requests (
    id          BLOB NOT NULL UNIQUE,
    fingerprint BLOB NOT NULL,
    asked       TEXT NOT NULL DEFAULT '[]',
    log_id      TEXT,
    status      INTEGER,
    headers     TEXT,
    body        BLOB,
    expires_at  REAL
) STRICT

-- name: requests_expiring
CREATE INDEX IF NOT EXISTS twofold_requests_expiring ON twofold_requests (expires_at) WHERE expires_at IS NOT NULL

-- name: copied
-- For a log that is a copy of another one: how far the other one was read, one row for each of its partitions, and the
-- position in this log of the last event that was copied.
CREATE TABLE IF NOT EXISTS twofold_copied (
    partition INTEGER PRIMARY KEY,
    source    TEXT    NOT NULL,
    position  INTEGER NOT NULL,
    head      INTEGER NOT NULL,
    ended     INTEGER NOT NULL
) STRICT
