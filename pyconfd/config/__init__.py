"""
What the operator declares: options, the config file, resources. Nothing of the running state.

Read in this order: options (what an option is and how its words become values), arguments (the
command line), settings (the one table, and the layers over one another), toml (a file with its
lines), resources (conf.d).
"""
