"""
Changes that a running daemon takes without a reload.

What is asked of each daemon is in `base.py`. Files whose names end in `_config`, `_commands` or
`_members` are pure: what can be changed so, and how. `haproxy.py` and `apache.py` speak to the
daemons.
"""
