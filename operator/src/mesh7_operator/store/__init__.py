"""Redis as the operator uses it: bundles out, reports in, users and functions kept."""
