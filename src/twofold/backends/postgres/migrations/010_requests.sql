-- Requests with an idempotency key, and what they were answered: beside the command ids, and no longer in the feed.

ALTER TABLE twofold.log
    -- the key of the fingerprints below
    ADD COLUMN secret bytea NOT NULL
        DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');

-- The last five columns are the answer; they are NULL before there is one, and when it has expired.
CREATE TABLE twofold.requests (
    id          bytea  PRIMARY KEY,
    fingerprint bytea  NOT NULL,
    asked       text[] NOT NULL DEFAULT '{}',
    log_id      text COLLATE "C",
    status      integer,
    headers     text,
    body        bytea,
    expires_at  timestamptz
);

CREATE INDEX requests_expiring ON twofold.requests (expires_at) WHERE expires_at IS NOT NULL;

-- Whoever may append may do this too: a role of its own that ran before the migration goes on without new grants.
DO $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.oid = 'twofold.commands'::regclass AND a.privilege_type = 'INSERT'
    LOOP
        EXECUTE 'GRANT SELECT, INSERT, UPDATE ON twofold.requests TO ' || grantee;
    END LOOP;
END
$$;
