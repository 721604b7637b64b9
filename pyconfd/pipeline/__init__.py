"""
The steps, one file each. None of them waits, schedules or retries.

Read in the order of the pipeline: store (the keys), render/ (templates), stage, check, swap,
reload, confirm/ (whether the daemon took the files). guard holds a change back; journal,
journal_entries and recovery keep what a kill must not lose; nginx/ checks files inside the whole
configuration. Each step takes the value that the step before it made.
"""
