"""
All decisions over time, as pure functions on frozen states; `now` is monotonic seconds.

Read in this order: debt (is a reload pending?), retry (when is a failure tried again?), service
(the state machine of one service), services (all of them together), read_index (which resources a
change concerns).
"""
