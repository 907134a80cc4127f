"""The promises as data, tied to the tests that keep them, both ways."""
