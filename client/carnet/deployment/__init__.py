"""Running a vault and a key service on this machine: `carnet up`, and the stage of `carnet demo`.

The servers are programs of their own, found by their names and never imported: what is here writes their keys and
settings once, starts them as two processes, watches them and stops them.
"""
