"""
`pyconfd register` as a program: options, services.toml, the child process and what is logged.

Read in this order: arguments and options, services_file, agent (the main loop), child.
"""
