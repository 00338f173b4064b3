-- The current function that runs SQL commands. A migration includes it with a line `-- run.sql`, as with note.sql.

-- A batch of commands in one transaction: each in a savepoint and with an outcome of its own, their notes appended at the
-- end as one batch. A statement calls a function with named arguments from the columns of a record, `$1`.
--
-- After one command has waited for a lock in vain the others hardly wait, because all of them hold their locks meanwhile.
-- This function has no settings of its own: they would hold for the functions that it calls.
CREATE OR REPLACE FUNCTION twofold.run(
    log          text,
    commands     text[],
    statements   text[],
    arguments    text[],   -- JSON
    command_ids  text[],
    actors       text[],
    correlations text[],
    causations   text[],
    wait_ms      integer,
    OUT states      text[],   -- done, repeated, or the SQLSTATE of an error
    OUT answers     text[],   -- JSON
    OUT positions   bigint[],
    OUT messages    text[],
    OUT details     text[],
    OUT constraints text[]
)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    used      record;
    answer    text;
    noted     record;
    place     integer;
    patience  integer := wait_ms;
    state     text;
    message   text;
    detail    text;
    violated  text;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'twofold.run runs in READ COMMITTED only, not in %', current_setting('transaction_isolation')
            USING ERRCODE = 'TF001';
    END IF;
    IF NOT EXISTS (SELECT FROM twofold.log l WHERE l.log_id = run.log) THEN
        RAISE EXCEPTION 'this is not log %', run.log USING ERRCODE = 'TF002';
    END IF;
    -- whole from the start: an array whose first element is set later begins there
    states := array_fill(NULL::text, ARRAY[cardinality(commands)]);
    answers := states;
    messages := states;
    details := states;
    constraints := states;
    positions := states::bigint[];
    SELECT u.ids, u.commands, u.answers, u.positions INTO used FROM twofold.used(command_ids) u;
    FOR i IN 1 .. cardinality(commands) LOOP
        BEGIN
            place := array_position(used.ids, command_ids[i]);
            IF used.commands[place] = commands[i] THEN
                states[i] := 'repeated';
                answers[i] := used.answers[place];
                positions[i] := used.positions[place];
                CONTINUE;
            ELSIF place IS NOT NULL THEN
                RAISE EXCEPTION 'command id % was used before, %', command_ids[i], CASE
                    WHEN used.commands[place] = '' THEN 'by a caller of twofold.note' ELSE 'for command ' || used.commands[place]
                END USING ERRCODE = 'TF005', DETAIL = json_build_object('command_id', command_ids[i], 'command', used.commands[place])::text;
            END IF;
            PERFORM
                set_config('twofold.command_id', command_ids[i], true), set_config('twofold.claimed', command_ids[i], true),
                set_config('twofold.actor', coalesce(actors[i], ''), true),
                set_config('twofold.correlation_id', correlations[i], true),
                set_config('twofold.causation_id', coalesce(causations[i], ''), true),
                set_config('lock_timeout', patience || 'ms', true);
            EXECUTE statements[i] INTO answer USING arguments[i]::jsonb;
            states[i] := 'done';
            answers[i] := answer;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS
                state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, violated = CONSTRAINT_NAME;
            states[i] := state;
            messages[i] := message;
            details[i] := detail;
            constraints[i] := violated;
            IF state = '55P03' THEN
                patience := least(patience, 1);
            END IF;
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', greatest(wait_ms, 10000) || 'ms', true);
    SELECT a.command_ids, a.positions INTO noted FROM twofold.append_noted() a;
    FOR j IN 1 .. coalesce(cardinality(noted.command_ids), 0) LOOP
        place := array_position(command_ids, noted.command_ids[j]);
        IF place IS NOT NULL THEN
            positions[place] := greatest(positions[place], noted.positions[j]);
        END IF;
    END LOOP;
    FOR i IN 1 .. cardinality(commands) LOOP
        IF states[i] = 'done' AND positions[i] IS NULL THEN   -- it has noted nothing
            positions[i] := coalesce((SELECT e.position FROM twofold.events e ORDER BY e.position DESC LIMIT 1), 0);
        END IF;
    END LOOP;
    INSERT INTO twofold.calls (command_id, command, answer, position)
    SELECT r.id, r.command, r.answer, r.position
    FROM unnest(command_ids, commands, answers, positions, states) r (id, command, answer, position, state)
    WHERE r.state = 'done';
END
$$;

-- Which of these ids were used in SQL, by which command, and its outcome. Always by index, as in twofold.append: the plan
-- made while the table is small would scan it when it is large.
CREATE OR REPLACE FUNCTION twofold.used(
    command_ids text[], OUT ids text[], OUT commands text[], OUT answers text[], OUT positions bigint[]
)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    SELECT array_agg(c.command_id), array_agg(c.command), array_agg(c.answer), array_agg(c.position)
    INTO ids, commands, answers, positions
    FROM twofold.calls c WHERE c.command_id = ANY (used.command_ids);
END
$$;
