-- The write model. `./dev blog` runs this file at every start, so every statement is repeatable.

CREATE TABLE IF NOT EXISTS tb_user (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name       text NOT NULL CONSTRAINT tb_user_name_length CHECK (length(name) BETWEEN 1 AND 200),
    email      text NOT NULL CONSTRAINT tb_user_email_form CHECK (email ~ '^[^@\s]+@[^@\s]+$' AND length(email) <= 254),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX IF NOT EXISTS tb_user_email_key ON tb_user (lower(email COLLATE "C"));
CREATE INDEX IF NOT EXISTS tb_user_newest ON tb_user (created_at DESC, id DESC);

CREATE TABLE IF NOT EXISTS tb_post (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    author_id    uuid NOT NULL REFERENCES tb_user,
    title        text NOT NULL CONSTRAINT tb_post_title_length CHECK (length(title) >= 3),
    content      text NOT NULL CONSTRAINT tb_post_content_length CHECK (length(content) >= 50),
    tags         text[] NOT NULL DEFAULT '{}' CONSTRAINT tb_post_tags_count CHECK (cardinality(tags) <= 10),
    status       text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'approved', 'published')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
);
CREATE INDEX IF NOT EXISTS tb_post_of_author ON tb_post (author_id, created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS tb_post_newest ON tb_post (created_at DESC, id DESC);

CREATE TABLE IF NOT EXISTS tb_post_stats (
    post_id    uuid PRIMARY KEY REFERENCES tb_post ON DELETE CASCADE,
    author_id  uuid NOT NULL REFERENCES tb_user,
    view_count bigint NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS idx_popular_posts_views ON tb_post_stats (view_count DESC, post_id DESC);

-- A row inserted here is appended to the feed when its transaction commits: USER_CREATED with the aggregate 7 becomes an
-- event of the stream user-7.
CREATE TABLE IF NOT EXISTS tb_domain_events (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_type   text NOT NULL,
    aggregate_id uuid NOT NULL,
    event_data   jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE OR REPLACE FUNCTION fn_note_domain_event() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM twofold.note(
        lower(split_part(NEW.event_type, '_', 1)) || '-' || NEW.aggregate_id, NULL,
        jsonb_build_array(jsonb_build_object('type', NEW.event_type, 'data', NEW.event_data))
    );
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER note_domain_event AFTER INSERT ON tb_domain_events
FOR EACH ROW EXECUTE FUNCTION fn_note_domain_event();

-- The audit log is read from the feed, so no function can forget to write it. An insert appends an event.
CREATE OR REPLACE VIEW tb_audit_log AS
SELECT
    e.position AS id,
    coalesce(e.data ->> 'action', a.action) AS action,
    coalesce(e.data ->> 'table_name', 'tb_' || split_part(e.stream, '-', 1)) AS table_name,
    substr(e.stream, strpos(e.stream, '-') + 1)::uuid AS record_id,
    e.meta ->> 'actor' AS actor,
    e.recorded_at AS created_at
FROM twofold.events e
JOIN (
    VALUES
        ('USER_CREATED', 'CREATE_USER'), ('POST_CREATED', 'CREATE_POST'), ('POST_APPROVED', 'APPROVE_POST'),
        ('POST_PUBLISHED', 'PUBLISH_POST'), ('POST_VIEWED', 'VIEW_POST'), ('POST_DELETED', 'DELETE_POST'),
        ('RECORD_AUDITED', NULL)
) a (type, action) ON a.type = e.type;

CREATE OR REPLACE FUNCTION fn_audit() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tb_domain_events (event_type, aggregate_id, event_data)
    VALUES ('RECORD_AUDITED', NEW.record_id, jsonb_build_object('action', NEW.action, 'table_name', NEW.table_name));
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER audit INSTEAD OF INSERT ON tb_audit_log
FOR EACH ROW EXECUTE FUNCTION fn_audit();
