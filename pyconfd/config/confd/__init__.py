"""
Trees of confd and of its fork: how one is recognised, its options, and its resource files.

Only `detection` is imported at start-up, unless the folder is a tree of confd.
"""
