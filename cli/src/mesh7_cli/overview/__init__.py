"""How namespaces and their pods are guarded, as far as the person may see it."""
