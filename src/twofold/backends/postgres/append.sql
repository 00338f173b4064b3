-- The current functions that append. A migration includes them with a line `-- append.sql`: after a change here, add a
-- migration with that line, so that existing databases get the change.

-- A batch of appends, in order. Each is all or nothing, and has an outcome of its own.
--
-- `streams` holds each stream once, and (`command_streams`, `command_ids`) each command once. `commands` to `firsts` have
-- one element for each append: which command it is, the version it expects, its metadata, the number of its events
-- (`counts`), and how many elements of the last three arrays come before them (`firsts`).
--
-- The first statement takes the lock, so that later statements see what the previous holder committed. This is true in
-- READ COMMITTED only. Reads and writes cover the whole batch at once; in between the appends are decided one by one,
-- each seeing those before it.
CREATE OR REPLACE FUNCTION twofold.append(
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
    clock           timestamptz;
    newest          timestamptz;
    recorded        timestamptz;
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
    clock := clock_timestamp();
    recorded := CASE WHEN newest > clock AND newest - clock <= interval '1 second' THEN newest ELSE clock END;
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
        types[firsts[n] + k], schemas[firsts[n] + k], datas[firsts[n] + k]::json, metas[n]::json, recorded
    FROM generate_series(1, cardinality(commands)) n CROSS JOIN LATERAL generate_series(1, counts[n]) k
    WHERE bases[n] IS NOT NULL;
    IF recorded < newest AND FOUND THEN
        RAISE WARNING USING ERRCODE = 'TF003', MESSAGE = format(
            'the newest event was recorded at %s UTC, but the clock says %s UTC: from now on events are recorded at the '
            'clock''s time. Check the clock of this server', newest AT TIME ZONE 'UTC', clock AT TIME ZONE 'UTC'
        );
    END IF;
    INSERT INTO twofold.commands (stream, command_id, version, events, position)
    SELECT
        streams[command_streams[commands[n]]], command_ids[commands[n]], at_versions[n], stored[n], positions[n]
    FROM generate_series(1, cardinality(commands)) n
    WHERE bases[n] IS NOT NULL;
    PERFORM pg_notify('twofold_log', head::text);
END
$$;

-- One event to one stream, the append of a single caller: the same as `twofold.append` for a batch of one, without the
-- overhead of a batch. The first statement takes the lock, so that the second sees what the previous holder committed.
CREATE OR REPLACE FUNCTION twofold.append_one(
    log            text,
    stream         text,
    command_id     text,
    expected       bigint,
    meta           text,    -- JSON
    type           text,
    schema         integer,
    data           text,    -- JSON
    OUT answer     text,    -- appended, repeated or conflict
    OUT at_version bigint,  -- of the stream: after the append; after the original append; current
    OUT stored     integer,
    OUT at         bigint   -- position
)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    seen     record;
    clock    timestamptz;
    recorded timestamptz;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'twofold.append_one runs in READ COMMITTED only, not in %', current_setting('transaction_isolation')
            USING ERRCODE = 'TF001';
    END IF;
    PERFORM pg_advisory_xact_lock(1953984358, 1);
    SELECT
        coalesce(h.position, 0) AS head, h.recorded_at AS newest, coalesce(e.version, 0) AS version,
        c.version AS known_version, c.events AS known_events, c.position AS known_position
    INTO seen
    FROM twofold.log l
    LEFT JOIN LATERAL (
        SELECT n.position, n.recorded_at FROM twofold.events n ORDER BY n.position DESC LIMIT 1
    ) h ON true
    LEFT JOIN LATERAL (
        SELECT v.version FROM twofold.events v WHERE v.stream = append_one.stream ORDER BY v.version DESC LIMIT 1
    ) e ON true
    LEFT JOIN twofold.commands c ON c.stream = append_one.stream AND c.command_id = append_one.command_id
    WHERE l.log_id = append_one.log;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this is not log %', append_one.log USING ERRCODE = 'TF002';
    END IF;
    IF seen.known_version IS NOT NULL THEN
        answer := 'repeated';
        at_version := seen.known_version;
        stored := seen.known_events;
        at := seen.known_position;
        RETURN;
    END IF;
    IF expected <> seen.version THEN
        answer := 'conflict';
        at_version := seen.version;
        stored := 0;
        at := 0;
        RETURN;
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    answer := 'appended';
    at_version := seen.version + 1;
    stored := 1;
    at := seen.head + 1;
    clock := clock_timestamp();
    recorded := CASE
        WHEN seen.newest > clock AND seen.newest - clock <= interval '1 second' THEN seen.newest ELSE clock
    END;
    INSERT INTO twofold.events (position, stream, version, type, schema, data, meta, recorded_at)
    VALUES (
        at, append_one.stream, at_version, append_one.type, append_one.schema, data::json, append_one.meta::json,
        recorded
    );
    IF recorded < seen.newest THEN
        RAISE WARNING USING ERRCODE = 'TF003', MESSAGE = format(
            'the newest event was recorded at %s UTC, but the clock says %s UTC: from now on events are recorded at the '
            'clock''s time. Check the clock of this server', seen.newest AT TIME ZONE 'UTC', clock AT TIME ZONE 'UTC'
        );
    END IF;
    INSERT INTO twofold.commands (stream, command_id, version, events, position)
    VALUES (append_one.stream, append_one.command_id, at_version, 1, at);
    PERFORM pg_notify('twofold_log', at::text);
END
$$;
