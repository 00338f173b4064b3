SELECT lower(u.email COLLATE "C") AS address, u.id AS user_id
FROM tb_user u
