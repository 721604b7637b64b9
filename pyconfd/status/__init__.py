"""
The state of the daemon for people and machines: one line, a report, counters. Changes nothing.

Read in this order: summary (the states, and everything in one line), report (everything, as plain
data), history (the last outcomes), counters and measurements (metrics).
"""
