"""
The long-running `pyconfd --watch` and the one-shot run: makes, connects and starts their parts.

Read in this order: run (the two ways to run), wiring (makes and connects the parts), loop (the
inbox), lanes (passes on worker threads). Beside them: configuration (conf.d and templates, replaced
as one by SIGHUP), outage (what is reported while the store is away), control_socket
with control_requests and http_endpoints (questions and answers), status_notifier (systemd and log).
"""
