-- One event to one stream, the append of a single caller: the same as `twofold.append` for a batch of one, without the
-- overhead of a batch. The first statement takes the lock, so that the second sees what the previous holder committed.
CREATE FUNCTION twofold.append_one(
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
    seen record;
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
    INSERT INTO twofold.events (position, stream, version, type, schema, data, meta, recorded_at)
    VALUES (
        at, append_one.stream, at_version, append_one.type, append_one.schema, data::json, append_one.meta::json,
        greatest(clock_timestamp(), seen.newest)
    );
    INSERT INTO twofold.commands (stream, command_id, version, events, position)
    VALUES (append_one.stream, append_one.command_id, at_version, 1, at);
    PERFORM pg_notify('twofold_log', at::text);
END
$$;
