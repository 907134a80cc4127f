"""The audit of a cluster, asked by AuditQueries: made, waited for, and deleted."""
