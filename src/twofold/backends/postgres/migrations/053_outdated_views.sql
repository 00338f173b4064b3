-- A materialised view shows rows that have changed without an event as they were. It is at no position until it is refreshed,
-- and a refresh that has begun meanwhile does not count. A trigger, so that processes of an older twofold do the same: they
-- renew the generation, too. It has no part in the updates that only move a checkpoint.
CREATE FUNCTION twofold.outdate_views() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE twofold.views v SET position = 0, refreshed_at = clock_timestamp()
    WHERE v.materialised AND EXISTS (
        SELECT FROM unnest(v.over_names, v.over_versions) o (name, version) WHERE o.name = NEW.name AND o.version = NEW.version
    );
    RETURN NULL;
END
$$;

CREATE TRIGGER rows_changed AFTER UPDATE OF generation ON twofold.checkpoints
    FOR EACH ROW WHEN (NEW.kind = 'projection') EXECUTE FUNCTION twofold.outdate_views();
