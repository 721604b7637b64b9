"""
Changes that a running daemon takes without a reload.

What can be changed so, and how, is in a file for each daemon: `haproxy_config.py` and
`haproxy_commands.py` are pure, `haproxy.py` speaks to it. `base.py` has what they share.
"""
