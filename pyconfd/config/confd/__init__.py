"""
Trees of confd and of its fork: which folder is one, its options, and its resource files.

Nothing here is imported at start-up but `detection`, unless the folder is a tree of confd.
"""
