"""Torture: real processes on a real store are killed, paused and cut off at random; afterwards every fact is checked.

Run it with `python -m torture --backend sqlite --minutes 1`. Each module has one job:

    domain      the write models: orders, and the stock they reserve
    app         the App under torture: its projections, and the reactors between orders and stock
    appender    a process that sends commands and journals every answer
    worker      a process that folds and reacts
    reader      a process that reads the whole feed with its own cursor, and rows with other processes' tokens
    mender      a process that unparks rows with a corrected fold
    member      what these processes share: how they start, receive strikes, and end
    aim         the places where a process can be killed or paused
    ground      the store under test: a file, or a PostgreSQL that can be killed
    disk        a disk that can be filled
    crew        starts the processes and restarts those that die
    chaos       decides from a seed what to hit next
    journal     what each process records, before the record counts
    evidence    everything known afterwards: journals, log, rows
    checker     what must hold for the log, every answer and every page that was read
    models      what must hold for read models and reactions, recomputed from the log
    report      the output during the run and at the end
    run         the whole run
    mutations   ways to break the engine on purpose; the checker must find each
"""
