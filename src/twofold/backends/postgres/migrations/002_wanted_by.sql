-- Who has fewer to follow and would take it over: its holder lets go at its next sign of life.

ALTER TABLE twofold.checkpoints ADD COLUMN wanted_by text;
