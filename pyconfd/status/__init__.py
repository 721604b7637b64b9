"""
What the daemon knows, for people and machines: one line, a report, counters. It changes nothing.

Read in this order: report (everything, as values), summary (the same in one line), history (the
last outcomes), counters and measurements (metrics).
"""
