"""`kubectl-mesh7` as one file, archives of it, and the manifest that krew reads."""
