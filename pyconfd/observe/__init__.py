"""
Logs, metrics and HTTP pages: they report what happens and never influence it.

Read in this order: log (the form of a line), report (which lines there are), metrics (the numbers
for Prometheus), http (the listener).
"""
