"""
What the daemon knows, for people and machines: one line, a report, counters. It changes nothing.

Read in this order: summary (the states, and all of it in one line), report (everything, as plain
data), history (the last outcomes), counters and measurements (metrics).
"""
