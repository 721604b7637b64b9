"""
Telling people and machines what happens, without influencing it.

Read in this order: log (how a line looks), report (which lines there are); metrics (the numbers
that Prometheus reads), http (who listens for it).
"""
