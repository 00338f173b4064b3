SELECT s.post_id AS id, p.title, s.view_count, p.author_id
FROM tb_post_stats s
JOIN tb_post p ON p.id = s.post_id
WHERE p.status = 'published'
