-- A random name of the contents of a read model's table, which its watchers compare. It is renewed when rows change although
-- the position stays. A process of an older release that runs beside does not renew it.

ALTER TABLE twofold.checkpoints
    ADD COLUMN generation text COLLATE "C" NOT NULL DEFAULT left(replace(gen_random_uuid()::text, '-', ''), 12);
