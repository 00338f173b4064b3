-- The current functions for events from SQL. A migration includes them with a line `-- note.sql`: after a change here, add
-- a migration with that line, so that existing databases get the change.
--
-- The functions run with the rights of their owner: who may call twofold.note need not have rights on the tables.

-- Note events: a JSON array of {"type": …, "data": …}. They are appended when the transaction commits, so that the lock of
-- the log comes after all others; what one command notes for one stream is one append. Versions and command ids are looked
-- at now and again at the end.
--
-- Without `command_id`, `actor`, `correlation_id` and `causation_id` the settings of these names apply (twofold.actor), and
-- without a command id the transaction is a command of its own.
CREATE OR REPLACE FUNCTION twofold.note(
    stream           text,
    expected_version bigint,   -- 0: the stream must not exist; NULL: no check
    events           jsonb,
    command_id       text DEFAULT NULL,
    actor            text DEFAULT NULL,
    correlation_id   text DEFAULT NULL,
    causation_id     text DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    id       text := coalesce(note.command_id, nullif(current_setting('twofold.command_id', true), ''));
    who      text := coalesce(note.actor, nullif(current_setting('twofold.actor', true), ''));
    together text := coalesce(note.correlation_id, nullif(current_setting('twofold.correlation_id', true), ''));
    cause    text := coalesce(note.causation_id, nullif(current_setting('twofold.causation_id', true), ''));
    hyphen   integer := strpos(note.stream, '-');
    owner    text := split_part(note.stream, '-', 1);   -- the category whose forms apply
    seen     record;
    element  jsonb;
    content  text;
    named    text;
    form     integer;
    types    text[] := '{}';
    schemas  integer[] := '{}';
    datas    text[] := '{}';
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'twofold.note runs in READ COMMITTED only, not in %', upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'TF001', HINT = 'Begin the transaction with BEGIN ISOLATION LEVEL READ COMMITTED.';
    END IF;
    -- no {1,200}, which makes a regular expression slow
    IF note.stream IS NULL OR note.stream !~ '^[A-Za-z][A-Za-z0-9_]*-[^\x01-\x1f\x7f]+$' OR hyphen > 64 OR length(note.stream) - hyphen > 200 THEN
        RAISE EXCEPTION 'a stream is named category-id, not %', coalesce(quote_literal(left(note.stream, 80)), 'NULL')
            USING ERRCODE = 'TF008', DETAIL = 'stream',
            HINT = 'The category is a letter followed by letters, digits or _, and the id 1 to 200 printable characters, as in order-1001.';
    END IF;
    IF owner LIKE 'twofold%' THEN
        RAISE EXCEPTION 'streams of category % are twofold''s own', owner
            USING ERRCODE = 'TF008', DETAIL = 'stream', HINT = 'Give the category another name.';
    END IF;
    IF concat(id, who, together, cause) ~ '[\x01-\x1f\x7f]' OR '' IN (id, who, together, cause)
        OR greatest(length(id), length(who), length(together), length(cause)) > 200
    THEN
        PERFORM twofold.refuse_name(id, who, together, cause);
    END IF;
    IF note.expected_version < 0 THEN
        RAISE EXCEPTION 'expected_version must be 0 or above, or NULL, not %', note.expected_version
            USING ERRCODE = 'TF008', DETAIL = 'expected_version',
            HINT = '0 means that the stream must not exist, and NULL that its version is not checked.';
    END IF;
    IF jsonb_typeof(note.events) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'events must be a JSON array, not %', coalesce(left(note.events::text, 80), 'NULL')
            USING ERRCODE = 'TF008', DETAIL = 'events',
            HINT = 'jsonb_build_array(jsonb_build_object(''type'', ''UserRenamed'', ''data'', jsonb_build_object(''name'', p_name)))';
    END IF;

    IF id IS NULL THEN   -- this transaction is the command
        id := replace(gen_random_uuid()::text, '-', '');
        PERFORM set_config('twofold.command_id', id, true), set_config('twofold.claimed', id, true);
    ELSIF id <> coalesce(current_setting('twofold.claimed', true), '') THEN
        INSERT INTO twofold.calls (command_id, command) VALUES (id, '') ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            PERFORM twofold.refuse_repeated(id, note.stream);
        END IF;
        PERFORM set_config('twofold.claimed', id, true);
    END IF;

    SELECT
        EXISTS (SELECT FROM twofold.commands c WHERE c.stream = note.stream AND c.command_id = id) AS repeated,
        EXISTS (SELECT FROM twofold.forms f WHERE f.category = owner) AS owned,
        coalesce((SELECT e.version FROM twofold.events e WHERE e.stream = note.stream ORDER BY e.version DESC LIMIT 1), 0)
            + coalesce(sum(cardinality(p.types)), 0) AS version,
        coalesce(sum(cardinality(p.types)) FILTER (WHERE p.command_id = id), 0) AS own   -- events noted by this command
    INTO seen
    FROM twofold.pending p WHERE p.xid = pg_current_xact_id() AND p.stream = note.stream;
    IF seen.repeated THEN
        PERFORM twofold.refuse_repeated(id, note.stream);
    END IF;
    IF note.expected_version <> seen.version THEN
        PERFORM twofold.refuse_version(note.stream, note.expected_version, seen.version::bigint);
    END IF;
    IF seen.version = 0 AND octet_length(note.stream) <> length(note.stream) AND note.stream ~ twofold.invisible() THEN
        RAISE EXCEPTION 'the id of a new stream contains a character that cannot be seen: %', to_json(note.stream)
            USING ERRCODE = 'TF008', DETAIL = 'stream', HINT = 'Remove it: two streams would look the same.';
    END IF;
    IF NOT seen.owned THEN
        owner := '';
    END IF;

    FOR n IN 0 .. jsonb_array_length(note.events) - 1 LOOP
        element := note.events -> n;
        form := NULL;
        IF jsonb_typeof(element) = 'object' AND jsonb_typeof(element -> 'data') = 'object' THEN
            named := element ->> 'type';
            content := element -> 'data';
            -- jsonpath takes 1.0 for an integer, but readers do not
            SELECT f.schema INTO form FROM twofold.forms f
            WHERE f.category = owner AND f.type = named AND (element -> 'data') @@ f.shape
                AND CASE WHEN content ~ '[0-9]\.' THEN twofold.fraction(element -> 'data', f.integers) IS NULL ELSE true END
            ORDER BY f.schema DESC, f.n DESC LIMIT 1;
        END IF;
        IF form IS NULL OR octet_length(content) > 16777216 OR element - 'type' - 'data' <> '{}' THEN
            PERFORM twofold.refuse_event(note.stream, owner, element);
        END IF;
        types := types || named;
        schemas := schemas || form;
        datas := datas || content;
    END LOOP;
    INSERT INTO twofold.pending (xid, stream, base, command_id, meta, types, schemas, datas)
    VALUES (
        pg_current_xact_id(), note.stream, note.expected_version - seen.own, id,
        json_strip_nulls(json_build_object(
            'command_id', id, 'correlation_id', coalesce(together, id), 'causation_id', cause, 'actor', who
        ))::text,
        types, schemas, datas
    );
END
$$;

-- Characters that cannot be seen: two names that differ in these only look the same.
CREATE OR REPLACE FUNCTION twofold.invisible() RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT '[\u0080-\u009f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u08e2\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]'
$$;

-- An integer that is written with a fraction, or NULL.
CREATE OR REPLACE FUNCTION twofold.fraction(data jsonb, integers text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN data::text ~ '[0-9]\.' THEN (
        SELECT format('%s is %s', i.path, v.value) FROM unnest(integers) i (path), jsonb_path_query(data, i.path::jsonpath) v (value)
        WHERE CASE WHEN jsonb_typeof(v.value) = 'number' THEN scale(v.value::numeric) > 0 ELSE false END LIMIT 1
    ) END
$$;

-- All that this transaction has noted, as one batch; an element for each append. The rows are gone afterwards, so that the
-- trigger finds nothing more to do.
CREATE OR REPLACE FUNCTION twofold.append_noted(OUT command_ids text[], OUT positions bigint[])
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    noted    record;
    appended record;
    last     bigint;         -- the first note of the append before
    i        integer := 0;
    before   integer := 0;
    streams  text[] := '{}';
    places   integer[] := '{}';
    commands integer[] := '{}';
    expected bigint[] := '{}';
    metas    text[] := '{}';
    counts   integer[] := '{}';
    firsts   integer[] := '{}';
    types    text[] := '{}';
    schemas  integer[] := '{}';
    datas    text[] := '{}';
BEGIN
    command_ids := '{}';
    FOR noted IN
        WITH mine AS MATERIALIZED (
            DELETE FROM twofold.pending p WHERE p.xid = pg_current_xact_id()
            RETURNING p.stream, p.n, p.base, p.command_id, p.meta, p.types, p.schemas, p.datas
        )
        SELECT   -- what belongs to one append stands together
            m.*, min(m.n) OVER (PARTITION BY m.stream, m.command_id) AS first, dense_rank() OVER (ORDER BY m.stream) AS place
        FROM mine m ORDER BY first, m.n
    LOOP
        IF noted.first IS DISTINCT FROM last THEN
            last := noted.first;
            i := i + 1;
            streams[noted.place] := noted.stream;
            places := places || noted.place::integer;
            command_ids := command_ids || noted.command_id;
            commands := commands || i;
            expected := array_append(expected, noted.base);
            metas := metas || noted.meta;
            counts := counts || 0;
            firsts := firsts || before;
        ELSIF expected[i] IS NULL THEN
            expected[i] := noted.base;
        END IF;
        counts[i] := counts[i] + cardinality(noted.types);
        before := before + cardinality(noted.types);
        types := types || noted.types;
        schemas := schemas || noted.schemas;
        datas := datas || noted.datas;
    END LOOP;
    IF i = 0 THEN
        RETURN;
    END IF;
    SELECT a.answers, a.at_versions, a.positions INTO appended FROM twofold.append(
        (SELECT l.log_id FROM twofold.log l), streams, places, command_ids, commands, expected, metas, counts, firsts, types,
        schemas, datas
    ) a;
    FOR i IN 1 .. cardinality(appended.answers) LOOP
        IF appended.answers[i] = 'conflict' THEN
            PERFORM twofold.refuse_version(streams[places[i]], expected[i], appended.at_versions[i]);
        ELSIF appended.answers[i] = 'repeated' THEN
            PERFORM twofold.refuse_repeated(command_ids[i], streams[places[i]]);
        END IF;
    END LOOP;
    positions := appended.positions;
    PERFORM twofold.hold_briefly();
END
$$;

-- With SET CONSTRAINTS ALL IMMEDIATE a note appends where it stands, and the session then holds the lock of the log until it
-- commits. If it is idle meanwhile, the server ends it, so that others need not wait.
CREATE OR REPLACE FUNCTION twofold.hold_briefly() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('idle_in_transaction_session_timeout') = '0' THEN
        PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
    END IF;
END
$$;

-- One event to one stream takes the shorter way.
CREATE OR REPLACE FUNCTION twofold.at_commit() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    appended record;
BEGIN
    IF NOT EXISTS (SELECT FROM twofold.pending p WHERE p.xid = NEW.xid AND p.stream = NEW.stream AND p.n = NEW.n) THEN
        RETURN NULL;   -- appended with an earlier note
    END IF;
    IF cardinality(NEW.types) <> 1 OR (SELECT count(*) FROM (SELECT FROM twofold.pending p WHERE p.xid = NEW.xid LIMIT 2) t) <> 1 THEN
        PERFORM twofold.append_noted();
        RETURN NULL;
    END IF;
    DELETE FROM twofold.pending p WHERE p.xid = NEW.xid;
    SELECT a.answer, a.at_version INTO appended FROM twofold.append_one(
        (SELECT l.log_id FROM twofold.log l), NEW.stream, NEW.command_id, NEW.base, NEW.meta, NEW.types[1], NEW.schemas[1], NEW.datas[1]
    ) a;
    IF appended.answer = 'conflict' THEN
        PERFORM twofold.refuse_version(NEW.stream, NEW.base, appended.at_version);
    ELSIF appended.answer = 'repeated' THEN
        PERFORM twofold.refuse_repeated(NEW.command_id, NEW.stream);
    END IF;
    PERFORM twofold.hold_briefly();
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION twofold.refuse_name(id text, who text, together text, cause text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part record;
BEGIN
    FOR part IN
        SELECT * FROM (VALUES ('command_id', id), ('actor', who), ('correlation_id', together), ('causation_id', cause)) v (name, value)
        WHERE v.value ~ '[\x01-\x1f\x7f]' OR length(v.value) NOT BETWEEN 1 AND 200
    LOOP
        RAISE EXCEPTION '% must be 1 to 200 printable characters, not %', part.name, quote_literal(left(part.value, 80))
            USING ERRCODE = 'TF008', DETAIL = part.name, HINT = format('Give another one, or SET LOCAL twofold.%s.', part.name);
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION twofold.refuse_version(stream text, expected bigint, actual bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is at version %, not %', stream, actual, expected USING
        ERRCODE = 'TF004',
        DETAIL = json_build_object('stream', stream, 'expected', expected, 'actual', actual)::text,
        HINT = 'It has changed since: begin again with its current version.';
END
$$;

CREATE OR REPLACE FUNCTION twofold.refuse_repeated(command_id text, stream text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'command id % was used before', command_id USING
        ERRCODE = 'TF005',
        DETAIL = json_build_object('command_id', command_id, 'stream', stream)::text,
        HINT = 'What it did then is stored; nothing was done now. A new command needs a new id, and the notes of one command belong in one transaction.';
END
$$;

-- Say what is wrong with an element of `events`, as the newest form of its type sees it.
CREATE OR REPLACE FUNCTION twofold.refuse_event(stream text, category text, element jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    named text := element ->> 'type';
    data  jsonb := element -> 'data';
    known text;
    form  record;
    field record;
BEGIN
    IF (CASE WHEN jsonb_typeof(element) IS DISTINCT FROM 'object' THEN true
        ELSE jsonb_typeof(element -> 'type') IS DISTINCT FROM 'string' OR jsonb_typeof(data) IS DISTINCT FROM 'object'
            OR element - '{type,data}'::text[] <> '{}' END)
    THEN
        RAISE EXCEPTION 'an event is an object with "type" and "data", not %', left(element::text, 80)
            USING ERRCODE = 'TF008', DETAIL = 'events',
            HINT = 'jsonb_build_object(''type'', ''UserRenamed'', ''data'', jsonb_build_object(''name'', p_name))';
    END IF;
    SELECT f.fields, f.schema, f.integers INTO form FROM twofold.forms f
    WHERE f.category = refuse_event.category AND f.type = named ORDER BY f.schema DESC, f.n DESC LIMIT 1;
    IF NOT FOUND THEN
        SELECT string_agg(DISTINCT f.type, ', ') INTO known FROM twofold.forms f WHERE f.category = refuse_event.category;
        RAISE EXCEPTION '% takes no event %', stream, quote_literal(left(named, 80)) USING
            ERRCODE = 'TF006', DETAIL = left(named, 80),
            HINT = CASE WHEN category = '' THEN
                format('Known are %s. Add its class to stored= of the App, or its decider to deciders=, and open the App.', coalesce(known, 'none'))
            ELSE
                format('Streams of category %s contain %s. Add its class to the events of that decider, and open the App.', category, known)
            END;
    END IF;
    SELECT coalesce(g.name, f.name) AS name, g.value, f.what, f.name IS NULL AS strange INTO field
    FROM jsonb_to_recordset(form.fields) f (name text, required boolean, what text, fits text)
    FULL JOIN jsonb_each(data) g (name, value) ON g.name = f.name
    WHERE f.name IS NULL OR (g.name IS NULL AND f.required) OR (g.name IS NOT NULL AND (data @@ f.fits::jsonpath) IS NOT TRUE)
    ORDER BY f.name IS NOT NULL, g.name IS NOT NULL, 1 LIMIT 1;
    SELECT string_agg(format('%s: %s', f.name, f.what), ', ' ORDER BY f.place) INTO known
    FROM ROWS FROM (jsonb_to_recordset(form.fields) AS (name text, what text)) WITH ORDINALITY f (name, what, place);
    IF NOT FOUND OR field.name IS NULL THEN
        RAISE EXCEPTION '%', coalesce(
            named || ': ' || twofold.fraction(data, form.integers) || ', which must be an integer without a decimal point',
            format('%s has %s bytes of JSON, more than 16777216', named, octet_length(data::text))
        ) USING ERRCODE = 'TF007', DETAIL = named, HINT = 'Cast it, as in p_count::integer, or split a large event.';
    END IF;
    RAISE EXCEPTION '%', CASE
        WHEN field.strange THEN format('%s has no field %s', named, quote_literal(left(field.name, 80)))
        WHEN field.value IS NULL THEN format('%s lacks the field %s: %s', named, field.name, field.what)
        ELSE format('%s.%s must be %s, not %s', named, field.name, field.what, left(field.value::text, 80))
    END USING ERRCODE = 'TF007', DETAIL = format('%s.%s', named, left(field.name, 80)),
        HINT = format('%s in its current schema %s has %s.', named, form.schema, coalesce(known, 'no fields'));
END
$$;
