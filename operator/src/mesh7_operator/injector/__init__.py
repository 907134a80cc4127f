"""The injector: a stateless admission webhook over TLS."""
