-- The declaration of a rollup, as JSON; NULL of a projection. Whoever folds its source maintains it, so it is stored.

ALTER TABLE twofold.tables ADD COLUMN rollup text;
