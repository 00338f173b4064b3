"""Torture: real processes on a real store, killed, paused and cut off at random, and afterwards every fact is checked.

`python -m torture --backend sqlite --minutes 1` runs it. Each module here is one role:

    domain      the write models: orders, and the stock that they reserve
    app         the App under torture: what is folded from them, and the reactors between them
    appender    a process that sends commands, and writes down each answer
    worker      a process that folds and reacts
    reader      a process that reads the whole feed with a cursor of its own, and rows with the tokens of others
    mender      a process that lets what is parked go on, with a corrected fold
    member      what these processes have in common: how they start, are told where to die, and end
    aim         the places where a process may be told to die or to stand still
    ground      the store below them: a file, or a PostgreSQL that can be killed
    disk        a disk that can be filled
    crew        starts the processes, and starts again whoever died
    chaos       decides who suffers next, from a seed
    journal     what each process writes down, before it counts
    evidence    all that is known afterwards: journals, log, rows
    checker     what must be true of the evidence: of the log, of every answer, of every page that was read
    models      and of read models and reactions, which are worked out once more
    report      what is told while it runs and at the end
    run         all of it together
    mutations   ways to break the engine on purpose, which the checker must find
"""
