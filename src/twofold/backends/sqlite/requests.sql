-- name: secret
SELECT secret FROM twofold_log WHERE log_id = ?

-- name: claim
INSERT INTO twofold_requests (id, fingerprint) VALUES (?, ?) ON CONFLICT DO NOTHING

-- name: claimed
SELECT fingerprint, asked FROM twofold_requests WHERE id = ?

-- name: answer
SELECT status, headers, body, expires_at FROM twofold_requests WHERE id = ? AND log_id = ? AND expires_at > ?

-- name: note
UPDATE twofold_requests SET asked = ? WHERE id = ?

-- name: keep
UPDATE twofold_requests SET log_id = ?, status = ?, headers = ?, body = ?, expires_at = ?, asked = ?
WHERE id = ?

-- name: sweep
UPDATE twofold_requests SET log_id = NULL, status = NULL, headers = NULL, body = NULL, expires_at = NULL
WHERE id IN (SELECT id FROM twofold_requests WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)
