"""Bytes ⇄ values of every protocol the gateway speaks. Pure: no clock, no network, no logging."""
