-- How often a parked key was tried, and the traceback of its error.

ALTER TABLE twofold.parked
    ADD COLUMN tries     integer NOT NULL DEFAULT 1,
    ADD COLUMN traceback text    NOT NULL DEFAULT '';
