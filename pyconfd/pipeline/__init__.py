"""
The steps, one file each, none of which waits, schedules or retries.

Reading order is the order of the pipe: store (the keys), render/ (templates), stage, check, swap,
reload, confirm/ (whether the daemon took it). guard holds a change back; journal, journal_entries
and recovery keep what a kill must not lose; nginx/ checks files inside the whole configuration.
Each step takes the value that the step before it made.
"""
