"""
Makes the files that come out of the tables of options and keys: `python -m generate` (or
`make generated`) writes them, and tests/packaging/test_generated.py fails when one is outdated.

They are in the repository, so that what is installed needs none of this.
"""
