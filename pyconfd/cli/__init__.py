"""
The command line: the commands, their options, and what they print.

Read in this order: main (which command, exit status), command (options, arguments and --help),
commands/ (one file each), usage_errors (what is printed when they are wrong), daemon_query (finds
a running daemon), terminal (tables and colours). demo/ is `pyconfd demo`. Nothing here watches or
writes live files; that is daemon/ and apply/.
"""
