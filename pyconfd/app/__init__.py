"""
Putting it together; no logic worth a unit test of its own lives here.

Read in this order: cli and options (what was asked for), run (the two ways to run), build (where
things are made and joined), passes (one pass over a service, step by step), lanes (passes on
worker threads), loop (the daemon).
"""
