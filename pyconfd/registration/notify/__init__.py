"""
`pyconfd notify`: reads a daemon's states from a pipe, publishes them as keys and runs hooks.

Read in this order: states (pure), state_listener, hooks, dialects (what daemons write), state_file.
"""
