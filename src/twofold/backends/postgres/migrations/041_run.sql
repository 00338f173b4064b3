-- Commands that are functions, many in a transaction. With its notes it can do no more than its caller may.

-- run.sql
