SELECT u.id, u.name, u.email, (SELECT count(*) FROM tb_post p WHERE p.author_id = u.id) AS post_count, u.created_at
FROM tb_user u
