-- Read models that are queries: see twofold/sql/view.py. A materialised one has the position at which it was refreshed.
CREATE TABLE twofold.views (
    name          text COLLATE "C" NOT NULL,
    version       integer          NOT NULL,
    fingerprint   text COLLATE "C" NOT NULL,
    definition    text             NOT NULL,   -- creates it, without what it is called
    over_names    text[]           NOT NULL,
    over_versions integer[]        NOT NULL,
    materialised  boolean          NOT NULL,
    log_id        text COLLATE "C" NOT NULL,
    position      bigint           NOT NULL,
    refreshed_at  timestamptz      NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, version)
);

-- Roles that read or write checkpoints do the same here, so that existing roles need no new grants.
DO $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT DISTINCT
            CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee, a.privilege_type AS privilege
        FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.oid = 'twofold.checkpoints'::regclass AND a.privilege_type IN ('SELECT', 'UPDATE')
    LOOP
        EXECUTE format('GRANT %s ON twofold.views TO %s', granted.privilege, granted.grantee);
    END LOOP;
END
$$;
