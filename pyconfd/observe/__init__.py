"""
Logs, metrics and HTTP pages: what happens is reported, and never influenced.

Read in this order: log (how a line looks), report (which lines there are); metrics (the numbers
that Prometheus reads), http (who listens for it).
"""
