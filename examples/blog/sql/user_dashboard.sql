SELECT
    u.id,
    jsonb_build_object(
        'name', u.name,
        'stats', jsonb_build_object(
            'total_posts', coalesce(t.total_posts, 0),
            'total_views', coalesce(t.total_views, 0),
            'last_post_date', t.last_post_date
        )
    ) AS data
FROM tb_user u
LEFT JOIN {author_totals} t ON t.author_id = u.id
