"""
The commands, one file each: options, what is asked, what is printed. main.py names them.
"""
