-- name: schema
CREATE TABLE IF NOT EXISTS resources (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    parent INTEGER NOT NULL,
    id TEXT NOT NULL,
    etag TEXT NOT NULL,
    changed INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (kind, parent, id)
);
CREATE TABLE IF NOT EXISTS ranges (
    container INTEGER NOT NULL,
    number INTEGER NOT NULL,
    low TEXT NOT NULL,
    high TEXT NOT NULL,
    parents TEXT NOT NULL,
    lsn INTEGER NOT NULL,
    gone INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (container, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    container INTEGER NOT NULL,
    range INTEGER NOT NULL,
    place TEXT NOT NULL,
    id TEXT NOT NULL,
    lsn INTEGER NOT NULL,
    etag TEXT NOT NULL,
    changed INTEGER NOT NULL,
    expires INTEGER,
    body BLOB NOT NULL,
    UNIQUE (container, place, id)
);
CREATE INDEX IF NOT EXISTS documents_in_order ON documents (container, range, lsn);
CREATE INDEX IF NOT EXISTS documents_that_expire ON documents (expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS unique_values (
    container INTEGER NOT NULL,
    place TEXT NOT NULL,
    value BLOB NOT NULL,
    document INTEGER NOT NULL,
    PRIMARY KEY (container, place, value)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unique_values_of_document ON unique_values (document);
CREATE TRIGGER IF NOT EXISTS forget_unique_values AFTER DELETE ON documents BEGIN
    DELETE FROM unique_values WHERE document = OLD.number;
END;

-- name: add_unique
INSERT INTO unique_values (container, place, value, document) VALUES (?, ?, ?, ?)

-- name: forget_unique
DELETE FROM unique_values WHERE document = ?

-- name: add_resource
INSERT INTO resources (kind, parent, id, etag, changed, body) VALUES (?, ?, ?, '', ?, X'') RETURNING number

-- name: set_resource
UPDATE resources SET etag = ?, changed = ?, body = ? WHERE number = ?

-- name: rename_resource
UPDATE resources SET id = ? WHERE number = ?

-- name: resource
SELECT number, id, etag, changed, body FROM resources WHERE kind = ? AND parent = ? AND id = ?

-- name: numbered_resource
SELECT number, id, etag, changed, body FROM resources WHERE kind = ? AND parent = ? AND number = ?

-- name: resources
SELECT number, id, etag, changed, body FROM resources WHERE kind = ? AND parent = ? ORDER BY number

-- name: resources_of_a_kind
SELECT number, id, etag, changed, body FROM resources WHERE kind = ? ORDER BY number

-- name: remove_resource
DELETE FROM resources WHERE number = ?

-- name: add_range
INSERT INTO ranges (container, number, low, high, parents, lsn) VALUES (?, ?, ?, ?, ?, ?)

-- name: ranges
SELECT number, low, high, parents, lsn, gone FROM ranges WHERE container = ? ORDER BY number

-- name: end_range
UPDATE ranges SET gone = 1 WHERE container = ? AND number = ?

-- name: advance
UPDATE ranges SET lsn = ? WHERE container = ? AND number = ?

-- name: sizes
SELECT range, count(*), sum(length(body)) FROM documents WHERE container = ? GROUP BY range

-- name: move_documents
UPDATE documents SET range = ? WHERE container = ? AND range = ? AND place >= ? AND place < ?

-- name: remove_ranges
DELETE FROM ranges WHERE container = ?

-- name: remove_documents
DELETE FROM documents WHERE container = ?

-- name: document
SELECT number, etag, body FROM documents WHERE container = ? AND place = ? AND id = ?

-- name: name_of_document
SELECT id FROM documents WHERE container = ? AND number = ?

-- name: remove_documents_of_key
DELETE FROM documents WHERE container = ? AND place = ?

-- name: add_document
INSERT INTO documents (number, container, range, place, id, lsn, etag, changed, expires, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: newest_document
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'documents'), 0)

-- name: set_document
UPDATE documents SET id = ?, lsn = ?, etag = ?, changed = ?, expires = ?, body = ? WHERE number = ?

-- name: remove_document
DELETE FROM documents WHERE number = ?

-- name: documents_of_key
SELECT number, body FROM documents WHERE container = ? AND place = ? AND number > ? ORDER BY number

-- name: documents_of_places
SELECT number, body FROM documents
WHERE container = ? AND place >= ? AND place < ? AND number > ? ORDER BY number

-- name: documents_of_range
SELECT number, body FROM documents
WHERE container = ? AND range = ? AND place >= ? AND place < ? AND number > ? ORDER BY number

-- name: documents_of_container
SELECT number, body FROM documents WHERE container = ? AND number > ? ORDER BY number

-- name: changes
SELECT lsn, body FROM documents
WHERE container = ? AND range = ? AND lsn > ? AND place >= ? AND place < ? AND changed >= ?
ORDER BY lsn, number

-- name: changes_of_key
SELECT lsn, body FROM documents
WHERE container = ? AND place = ? AND +lsn > ? AND changed >= ?
ORDER BY +lsn, number

-- name: next_to_expire
SELECT min(expires) FROM documents WHERE expires IS NOT NULL

-- name: expire
DELETE FROM documents WHERE expires IS NOT NULL AND expires <= ?
