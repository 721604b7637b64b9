"""
The only room that touches the operating system in general: files, processes, time, signals,
locks, systemd. It knows nothing about configuration, templates or services.
"""
