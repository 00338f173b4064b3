-- Looking for used command ids takes the same time however many there are.

-- note.sql
-- run.sql
