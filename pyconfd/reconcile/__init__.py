"""
All decisions over time, as pure functions on frozen states; `now` is monotonic seconds.

Read in this order: hold (is it quiet?), debt (is a reload owed?), retry (when is a failure tried
again?), service (the machine that combines them for one service).
"""
