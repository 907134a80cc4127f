"""People's hands on mesh7: the command `mesh7`."""
