SELECT
    u.id,
    jsonb_build_object(
        'name', u.name,
        'stats', jsonb_build_object(
            'total_posts', coalesce(p.total_posts, 0),
            'total_views', coalesce(p.total_views, 0),
            'last_post_date', p.last_post_date
        )
    ) AS data
FROM tb_user u
LEFT JOIN (
    SELECT p.author_id, count(*) AS total_posts, sum(s.view_count) AS total_views, max(p.created_at) AS last_post_date
    FROM tb_post p
    JOIN tb_post_stats s ON s.post_id = p.id
    WHERE p.status = 'published'
    GROUP BY p.author_id
) p ON p.author_id = u.id
