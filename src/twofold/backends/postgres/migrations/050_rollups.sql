-- The declaration of a rollup, as JSON; NULL for a projection. Any process that folds its source maintains it.

ALTER TABLE twofold.tables ADD COLUMN rollup text;
