-- Whose a checkpoint is, as JSON: the App, the name it had before, and the events it follows. NULL where nobody has opened
-- an App on it since.

ALTER TABLE twofold.checkpoints ADD COLUMN belongs text;
