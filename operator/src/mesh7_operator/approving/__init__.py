"""Held calls of one namespace: what the ledger and the API server hold goes in, steps come out.

Pure. `ground` has the values that go in, `steps` those that come out, `plan` the one function.
"""
