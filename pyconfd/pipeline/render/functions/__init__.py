"""
What templates can call, by subject. function_table.py gives them their names.
"""
