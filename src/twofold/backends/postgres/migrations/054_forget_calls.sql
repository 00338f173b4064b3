-- A command id that twofold made is forgotten when its caller has the result: who may run SQL commands may do that, too.

DO $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.oid = 'twofold.calls'::regclass AND a.privilege_type = 'INSERT'
    LOOP
        EXECUTE 'GRANT DELETE ON twofold.calls TO ' || grantee;
    END LOOP;
END
$$;
