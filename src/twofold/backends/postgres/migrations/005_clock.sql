-- One wrong clock must not give its time to every event after it: an event is not recorded before the newest one, unless
-- that one is more than a second ahead of the clock. Then the time goes back to the clock's, once, with a warning, which
-- the process logs that appends. The functions of 001 and 004 are replaced by those of today.

-- append.sql
