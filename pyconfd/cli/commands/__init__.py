"""
The commands, one file each: their options, requests and output. main.py names them.
"""
