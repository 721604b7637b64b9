"""
Proof that a daemon took its new files, after the reload command ended with 0.

Read in this order: confirm (the polling), then one file for each way to ask (by_processes, by_page,
by_socket, by_file), and daemon_log (what the daemon has logged).
"""
