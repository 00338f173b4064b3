-- A less loaded worker that asked for the checkpoint: its holder releases it at its next heartbeat.

ALTER TABLE twofold.checkpoints ADD COLUMN wanted_by text;
