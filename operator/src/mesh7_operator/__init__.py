"""mesh7's operator: three programs of one image – controller, injector, exchange."""
