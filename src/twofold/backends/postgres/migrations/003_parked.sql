-- How often what is parked was tried, and where its error came from.

ALTER TABLE twofold.parked
    ADD COLUMN tries     integer NOT NULL DEFAULT 1,
    ADD COLUMN traceback text    NOT NULL DEFAULT '';
