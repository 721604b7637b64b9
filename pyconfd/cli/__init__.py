"""
What people type: the commands, their options, and what is printed.

Read in this order: main (which command, exit status), commands/ (one file each), usage_errors and
help (what is printed when the words are wrong), daemon_query (asking a running daemon). demo/ is
`pyconfd demo`. Nothing here watches or writes live files; that is daemon/ and apply/.
"""
