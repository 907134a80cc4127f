"""What people write: the kinds of `mesh7.dev/v1alpha1`, and reading them with positions."""
