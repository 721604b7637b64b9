"""
The steps, one file each, none of which waits, schedules or retries.

Reading order is the order of the pipe: store (what the source said), view (what one resource
sees of it), plan (who has to render), functions (what templates can ask), render, stage, check,
swap, reload. Each step takes the value that the step before it made.
"""
