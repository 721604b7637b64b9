"""
What the operator declares: options, the config file, resources. Nothing of the running state.

Read in this order: options (what an option is and how its words become values), option_table
(the one table of them), arguments (the command line), layers (command line over environment over
file over default), settings (the result); toml (a file with its lines), table (one table of it),
resource_table, guards, nginx, confirm, services and groups (what can be declared), resources (all
of conf.d).
"""
