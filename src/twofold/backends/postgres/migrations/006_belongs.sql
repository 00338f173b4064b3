-- The owner of a checkpoint as JSON: the App, its previous name, and the events it follows. NULL until an App is opened on
-- it after this migration.

ALTER TABLE twofold.checkpoints ADD COLUMN belongs text;
