"""
Access to the operating system in general: files, processes, time, signals, locks, systemd. Knows
nothing about configuration, templates or services.
"""
