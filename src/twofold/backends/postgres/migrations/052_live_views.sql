-- Which version of a view its public name shows. A newer one waits until the tables it is over are shown themselves.
ALTER TABLE twofold.views ADD COLUMN live boolean NOT NULL DEFAULT false;
UPDATE twofold.views v SET live = true WHERE NOT EXISTS (
    SELECT FROM twofold.views newer WHERE newer.name = v.name AND newer.version > v.version
);
