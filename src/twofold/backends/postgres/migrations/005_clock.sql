-- A wrong clock must not set the time of all later events. An event is never recorded before the newest one, unless that
-- one is more than a second ahead of the clock: then the time goes back to the clock's, with a warning that the appending
-- process logs. The functions of 001 and 004 are replaced by the current ones.

-- append.sql
