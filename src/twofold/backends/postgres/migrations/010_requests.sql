-- Requests with an idempotency key, and their responses: beside the command ids, and no longer in the feed.

ALTER TABLE twofold.log
    -- the key of the fingerprints below
    ADD COLUMN secret bytea NOT NULL
        DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');

-- The last five columns are the response; they are NULL until there is one, and after it has expired.
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

-- Every role that may append may do this too, so that existing roles need no new grants.
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
