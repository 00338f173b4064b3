-- For costs.py: users, each with some published posts. $1 is a name for them, $2 and $3 how many.
WITH authors AS MATERIALIZED (
    SELECT fn_create_user('User ' || n, format('%s.%s@example.com', $1::text, n)) AS id FROM generate_series(1, $2) n
)
SELECT count(fn_publish_post(fn_create_post('A post', repeat('x', 50), '{}', id), id)) FROM authors, generate_series(1, $3)
