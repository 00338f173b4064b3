-- The tables, and the function that appends. They may be used with plain SQL: see docs/postgres-roles.md for rights.

DO $$
BEGIN
    -- IF NOT EXISTS requires the right to create even if the schema exists
    IF to_regnamespace('twofold') IS NULL THEN
        CREATE SCHEMA twofold;
    END IF;
END
$$;

CREATE TABLE twofold.migrations (
    number     integer     PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE twofold.log (
    id     boolean          PRIMARY KEY DEFAULT true CHECK (id),
    log_id text COLLATE "C" NOT NULL
);

CREATE TABLE twofold.events (
    position    bigint           PRIMARY KEY,
    stream      text COLLATE "C" NOT NULL,
    version     bigint           NOT NULL,
    type        text COLLATE "C" NOT NULL,
    schema      integer          NOT NULL,
    data        json             NOT NULL,
    meta        json             NOT NULL,
    recorded_at timestamptz      NOT NULL,
    -- stored, because the length of a large value cannot be computed without reading all of it
    bytes       integer          NOT NULL GENERATED ALWAYS AS (octet_length(data::text)) STORED,
    UNIQUE (stream, version)
);

CREATE TABLE twofold.commands (
    stream     text COLLATE "C" NOT NULL,
    command_id text COLLATE "C" NOT NULL,
    version    bigint           NOT NULL,
    events     integer          NOT NULL,
    position   bigint           NOT NULL,
    PRIMARY KEY (stream, command_id)
);

-- Updated all the time: free space in the page of a row lets updates leave the index alone (HOT).
CREATE TABLE twofold.checkpoints (
    kind      text COLLATE "C" NOT NULL,  -- projection or reactor
    name      text COLLATE "C" NOT NULL,
    version   integer          NOT NULL,
    partition integer          NOT NULL,
    log_id    text COLLATE "C" NOT NULL,
    position  bigint           NOT NULL,
    owner     text,
    epoch     bigint           NOT NULL,
    heartbeat bigint           NOT NULL,
    PRIMARY KEY (kind, name, version, partition)
) WITH (fillfactor = 20);

CREATE TABLE twofold.parked (
    kind      text COLLATE "C" NOT NULL,  -- projection or reactor
    name      text COLLATE "C" NOT NULL,
    version   integer          NOT NULL,
    what      text COLLATE "C" NOT NULL,  -- row or stream
    key       text COLLATE "C" NOT NULL,
    partition integer          NOT NULL,
    position  bigint           NOT NULL,
    error     text             NOT NULL,
    since     timestamptz      NOT NULL,
    -- unique; by a hash, because a key may be longer than a b-tree entry
    EXCLUDE USING hash ((kind || ' ' || name || ' ' || version || ' ' || what || ' ' || key) WITH =)
);

CREATE INDEX parked_by ON twofold.parked (kind, name, version, position);

CREATE TABLE twofold.tables (
    name        text COLLATE "C" NOT NULL,
    version     integer          NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    live        boolean          NOT NULL,
    PRIMARY KEY (name, version)
);

-- A batch of appends, in order. Each is all or nothing, and has an outcome of its own.
--
-- `streams` holds each stream once, and (`command_streams`, `command_ids`) each command once. `commands` to `firsts` have
-- one element for each append: which command it is, the version it expects, its metadata, the number of its events
-- (`counts`), and how many elements of the last three arrays come before them (`firsts`).
--
-- The first statement takes the lock, so that later statements see what the previous holder committed. This is true in
-- READ COMMITTED only. Reads and writes cover the whole batch at once; in between the appends are decided one by one,
-- each seeing those before it.
CREATE FUNCTION twofold.append(
    log             text,
    streams         text[],
    command_streams integer[],
    command_ids     text[],
    commands        integer[],
    expected        bigint[],
    metas           text[],    -- JSON
    counts          integer[],
    firsts          integer[],
    types           text[],
    schemas         integer[],
    datas           text[],    -- JSON
    OUT answers     text[],    -- appended, repeated or conflict
    OUT at_versions bigint[],  -- of the stream: after the append; after the original append; current
    OUT stored      integer[],
    OUT positions   bigint[]
)
LANGUAGE plpgsql VOLATILE
-- One plan, by index, even while the tables are small enough for a sequential scan to look cheap.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    head            bigint;
    newest          timestamptz;
    versions        bigint[];   -- of each stream
    ends            bigint[];   -- its last event's position
    known_versions  bigint[];   -- of each command: its receipt, where there is one
    known_counts    integer[];
    known_positions bigint[];
    bases           bigint[];   -- of each append that is taken: the position before its first event
    begins          bigint[];   -- and the version
    c               integer;
    s               integer;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'twofold.append runs in READ COMMITTED only, not in %', current_setting('transaction_isolation')
            USING ERRCODE = 'TF001';
    END IF;
    PERFORM pg_advisory_xact_lock(1953984358, 1);
    IF NOT EXISTS (SELECT FROM twofold.log l WHERE l.log_id = append.log) THEN
        RAISE EXCEPTION 'this is not log %', append.log USING ERRCODE = 'TF002';
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;

    SELECT e.position, e.recorded_at INTO head, newest FROM twofold.events e ORDER BY e.position DESC LIMIT 1;
    head := coalesce(head, 0);
    newest := greatest(clock_timestamp(), newest);
    SELECT array_agg(coalesce(e.version, 0) ORDER BY n), array_agg(coalesce(e.position, 0) ORDER BY n)
    INTO versions, ends
    FROM generate_series(1, cardinality(streams)) n
    LEFT JOIN LATERAL (
        SELECT v.version, v.position FROM twofold.events v WHERE v.stream = streams[n] ORDER BY v.version DESC LIMIT 1
    ) e ON true;
    SELECT array_agg(r.version ORDER BY n), array_agg(r.events ORDER BY n), array_agg(r.position ORDER BY n)
    INTO known_versions, known_counts, known_positions
    FROM generate_series(1, cardinality(command_ids)) n
    LEFT JOIN LATERAL (
        SELECT k.version, k.events, k.position FROM twofold.commands k
        WHERE k.stream = streams[command_streams[n]] AND k.command_id = command_ids[n] LIMIT 1
    ) r ON true;

    FOR i IN 1 .. cardinality(commands) LOOP
        c := commands[i];
        s := command_streams[c];
        IF known_versions[c] IS NOT NULL THEN
            answers[i] := 'repeated';
        ELSIF expected[i] <> versions[s] THEN
            answers[i] := 'conflict';
            at_versions[i] := versions[s];
            stored[i] := 0;
            positions[i] := 0;
            CONTINUE;
        ELSE
            answers[i] := 'appended';
            bases[i] := head;
            begins[i] := versions[s];
            IF counts[i] > 0 THEN
                head := head + counts[i];
                versions[s] := versions[s] + counts[i];
                ends[s] := head;
            END IF;
            known_versions[c] := versions[s];
            known_counts[c] := counts[i];
            known_positions[c] := ends[s];
        END IF;
        at_versions[i] := known_versions[c];
        stored[i] := known_counts[c];
        positions[i] := known_positions[c];
    END LOOP;

    INSERT INTO twofold.events (position, stream, version, type, schema, data, meta, recorded_at)
    SELECT
        bases[n] + k, streams[command_streams[commands[n]]], begins[n] + k,
        types[firsts[n] + k], schemas[firsts[n] + k], datas[firsts[n] + k]::json, metas[n]::json, newest
    FROM generate_series(1, cardinality(commands)) n CROSS JOIN LATERAL generate_series(1, counts[n]) k
    WHERE bases[n] IS NOT NULL;
    INSERT INTO twofold.commands (stream, command_id, version, events, position)
    SELECT
        streams[command_streams[commands[n]]], command_ids[commands[n]], at_versions[n], stored[n], positions[n]
    FROM generate_series(1, cardinality(commands)) n
    WHERE bases[n] IS NOT NULL;
    PERFORM pg_notify('twofold_log', head::text);
END
$$;
