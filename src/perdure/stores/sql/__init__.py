"""The store on SQL databases: the verbs once, in plain SQL, and one file per database.

    store.py        the port, verb by verb: each runs one of the functions below in a transaction
    reading.py      looking at runs, journals and inboxes
    births.py       storing new runs
    turns.py        committing turns
    letters.py      the inbox, and the end of a run
    claims.py       taking runs, blocking and unparking them
    leases.py       workers
    records.py      rows of tables as records of the core, and back
    schema.py       the tables
    database.py     the seam: what a database must do
    sqlite.py, postgres.py      the databases
    poke.py         waking other processes through sockets beside a file

SQL here is written with `?` for a parameter, and with what only PostgreSQL needs in a comment
that SQLite skips: `/*FOR UPDATE*/`. The PostgreSQL side turns both into its own before preparing.
"""
