"""What would become of the pods of manifests: the same function that the injector calls."""
