"""
Putting it together: what was asked for, who does it, and telling people about it.

Read in this order: cli (which command), run (the two ways to run), build (where things are made
and joined), loop (the daemon), lanes (passes on worker threads), passes (one pass over a service),
transaction (its groups, from snapshot to live files). Beside them: guards, drift and each, which
remember what a pass compares with; control, answers, picture and status_line, which tell a person
what the daemon knows; and one module for each further command.
"""
