SELECT p.id, p.title, p.content, p.tags, p.status, p.author_id, s.view_count, p.created_at, p.published_at
FROM tb_post p
JOIN tb_post_stats s ON s.post_id = p.id
