"""The images of mesh7 and of its tests, built from this checkout without a registry."""
