-- The commands. Each changes the tables and records what happened, in one transaction. A function refuses with SQLSTATE
-- TF422 and a code; commands.py maps the names of constraints to codes. `./dev blog` runs this file at every start.

CREATE OR REPLACE FUNCTION fn_create_user(p_name text, p_email text) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    new_id uuid;
BEGIN
    INSERT INTO tb_user (name, email) VALUES (p_name, p_email) RETURNING id INTO new_id;
    INSERT INTO tb_domain_events (event_type, aggregate_id, event_data)
    VALUES ('USER_CREATED', new_id, jsonb_build_object('name', p_name, 'email', p_email));
    RETURN new_id;
END $$;

CREATE OR REPLACE FUNCTION fn_create_post(p_title text, p_content text, p_tags text[], p_author_id uuid) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    new_id uuid;
BEGIN
    PERFORM fn_require_user(p_author_id);
    INSERT INTO tb_post (title, content, tags, author_id) VALUES (p_title, p_content, p_tags, p_author_id)
    RETURNING id INTO new_id;
    INSERT INTO tb_post_stats (post_id, author_id) VALUES (new_id, p_author_id);
    INSERT INTO tb_domain_events (event_type, aggregate_id, event_data)
    VALUES ('POST_CREATED', new_id, jsonb_build_object('author_id', p_author_id, 'title', p_title, 'created_at', now()));
    RETURN new_id;
END $$;

-- Any user may approve a draft. For a post that is approved or published, nothing changes.
CREATE OR REPLACE FUNCTION fn_approve_post(p_post_id uuid, p_user_id uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fn_lock_post(p_post_id, p_user_id);
    UPDATE tb_post SET status = 'approved' WHERE id = p_post_id AND status = 'draft';
    IF FOUND THEN
        INSERT INTO tb_domain_events (event_type, aggregate_id, event_data)
        VALUES ('POST_APPROVED', p_post_id, jsonb_build_object('approved_by', p_user_id));
    END IF;
    RETURN true;
END $$;

-- Only the author may publish a post. Publishing it again changes nothing.
CREATE OR REPLACE FUNCTION fn_publish_post(p_post_id uuid, p_user_id uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fn_lock_own_post(p_post_id, p_user_id);
    UPDATE tb_post SET status = 'published', published_at = now() WHERE id = p_post_id AND status <> 'published';
    IF FOUND THEN
        INSERT INTO tb_domain_events (event_type, aggregate_id, event_data)
        VALUES (
            'POST_PUBLISHED', p_post_id,
            jsonb_build_object('post_id', p_post_id, 'author_id', p_user_id, 'published_at', now())
        );
    END IF;
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION fn_delete_post(p_post_id uuid, p_user_id uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fn_lock_own_post(p_post_id, p_user_id);
    DELETE FROM tb_post WHERE id = p_post_id;
    INSERT INTO tb_domain_events (event_type, aggregate_id, event_data)
    VALUES ('POST_DELETED', p_post_id, jsonb_build_object('author_id', p_user_id));
    RETURN true;
END $$;

-- Counts a view and returns the new count.
CREATE OR REPLACE FUNCTION fn_view_post(p_post_id uuid) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    views bigint;
BEGIN
    UPDATE tb_post_stats SET view_count = view_count + 1 WHERE post_id = p_post_id RETURNING view_count INTO views;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'Post not found' USING ERRCODE = 'TF422', DETAIL = 'NOT_FOUND';
    END IF;
    INSERT INTO tb_domain_events (event_type, aggregate_id, event_data)
    VALUES ('POST_VIEWED', p_post_id, jsonb_build_object('view_count', views));
    RETURN views;
END $$;

-- ---- shared by the commands

CREATE OR REPLACE FUNCTION fn_require_user(p_user_id uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM tb_user WHERE id = p_user_id) THEN
        RAISE EXCEPTION 'Authentication required' USING ERRCODE = 'TF422', DETAIL = 'AUTH_REQUIRED';
    END IF;
END $$;

-- Locks a post and returns its author.
CREATE OR REPLACE FUNCTION fn_lock_post(p_post_id uuid, p_user_id uuid) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    author uuid;
BEGIN
    PERFORM fn_require_user(p_user_id);
    SELECT author_id INTO author FROM tb_post WHERE id = p_post_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'Post not found' USING ERRCODE = 'TF422', DETAIL = 'NOT_FOUND';
    END IF;
    RETURN author;
END $$;

CREATE OR REPLACE FUNCTION fn_lock_own_post(p_post_id uuid, p_user_id uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF fn_lock_post(p_post_id, p_user_id) <> p_user_id THEN
        RAISE EXCEPTION 'Not authorized' USING ERRCODE = 'TF422', DETAIL = 'FORBIDDEN';
    END IF;
END $$;
