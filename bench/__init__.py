"""The gateway's speed and size against Envoy and against no gateway, in one run on one machine.

`make bench` (or `python -m bench`) prints the tables of docs/developer/performance.md.
"""
