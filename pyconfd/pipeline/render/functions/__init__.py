"""What templates can call, by subject; names.py gives each function its name in templates."""
