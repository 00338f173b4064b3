-- Events from SQL: noted in the caller's transaction, appended when it commits.

-- What the transactions in progress have noted: no committed transaction leaves a row here. A lookup must never meet the
-- rows of others, which stay until they are vacuumed, so it always begins with the transaction's own id.
CREATE UNLOGGED TABLE twofold.pending (
    xid        xid8             NOT NULL,
    stream     text COLLATE "C" NOT NULL,
    n          bigint           GENERATED ALWAYS AS IDENTITY (CACHE 100),
    base       bigint,   -- the version that the append of the command expects; NULL: it expects none
    command_id text COLLATE "C" NOT NULL,
    meta       text             NOT NULL,
    types      text[]           NOT NULL,
    schemas    integer[]        NOT NULL,
    datas      text[]           NOT NULL,
    PRIMARY KEY (xid, stream, n)
);

-- How the Apps on this log write their events: see twofold/sql/forms.py. The newest one of the highest schema is current.
CREATE TABLE twofold.forms (
    category    text COLLATE "C" NOT NULL,
    type        text COLLATE "C" NOT NULL,
    app         text COLLATE "C" NOT NULL,
    schema      integer          NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    shape       jsonpath         NOT NULL,
    fields      jsonb            NOT NULL,
    integers    text[]           NOT NULL,
    n           bigint           GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (category, type, app, schema, fingerprint)
);

-- Command ids that were used in SQL, for ever. `command` is the SqlCommand, or empty for a caller of twofold.note.
CREATE TABLE twofold.calls (
    command_id text COLLATE "C" PRIMARY KEY,
    command    text COLLATE "C" NOT NULL,
    answer     text,   -- JSON
    position   bigint
);

-- note.sql

CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON twofold.pending
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION twofold.at_commit();
-- Also where a session has turned triggers off, as tools that load data do.
ALTER TABLE twofold.pending ENABLE ALWAYS TRIGGER at_commit;

-- Reading the log does not include the right to append to it: the roles that may append now may do so from SQL, too.
REVOKE EXECUTE ON FUNCTION twofold.note, twofold.append_noted, twofold.at_commit FROM PUBLIC;
DO $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.oid = 'twofold.commands'::regclass AND a.privilege_type = 'INSERT'
    LOOP
        EXECUTE 'GRANT SELECT, INSERT ON twofold.forms, twofold.calls TO ' || grantee;
        EXECUTE 'GRANT EXECUTE ON FUNCTION twofold.note, twofold.append_noted TO ' || grantee;
    END LOOP;
END
$$;
