-- For a log that is a copy of another one: how far the other one was read, one row for each of its partitions, and the
-- position in this log of the last event that was copied.
CREATE TABLE twofold.copied (
    partition integer          PRIMARY KEY,
    source    text COLLATE "C" NOT NULL,
    position  bigint           NOT NULL,
    head      bigint           NOT NULL,
    ended     boolean          NOT NULL
);

-- Every role that may read the command ids reads this when an App is opened, so no role needs a new grant.
DO $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.oid = 'twofold.commands'::regclass AND a.privilege_type = 'SELECT'
    LOOP
        EXECUTE 'GRANT SELECT ON twofold.copied TO ' || grantee;
    END LOOP;
END
$$;
