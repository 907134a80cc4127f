"""Audit chains of a namespace: entries go in, findings and what is to be signed come out (pure).

`following` ▶ `anchor` ◀ `trimming`; `verifying` walks all that is kept; `writing` signs and reads.
"""
