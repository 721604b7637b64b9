"""
`pyconfd notify`: a daemon's states, read from a pipe, published as keys and given to hooks.

Read in this order: states (pure), state_listener, hooks, dialects (what daemons write), state_file.
"""
