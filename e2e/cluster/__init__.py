"""Clusters for tests and for hands: built from Go modules, raised here, gone without a trace."""
