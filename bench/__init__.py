"""
How fast it is, beside a bare watch client and any confd: `python -m bench --help`.

Reading order: scenarios (what is measured), subjects (who is measured), measure (with what),
startup (where the milliseconds of a one-shot run go), table (how it is printed).
"""
