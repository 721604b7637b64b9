"""
Proof that a daemon took its new files, after the reload command ended with 0.

Read in this order: confirm (the loop of polling), then one file for each way to ask: by_processes,
by_page, by_socket, by_file; daemon_log (what the daemon wrote meanwhile).
"""
