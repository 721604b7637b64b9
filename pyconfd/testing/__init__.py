"""Fakes of stores, commands and leases for the tests; not in the wheel."""
