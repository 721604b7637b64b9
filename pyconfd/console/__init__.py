"""
The console: a fleet on one page, live, and an operator's orders by click.

A program of its own (`pyconfd console`), with one watch for all browsers. Reading order: board
(what is known), view (what is shown), pages (HTML), web (requests), serve (the process).
"""
