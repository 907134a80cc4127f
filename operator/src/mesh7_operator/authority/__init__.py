"""The release's own certificate authority: what there is, and what to do next. Values alone."""
