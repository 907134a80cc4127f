"""What gateways share: counts, approvals and standing grants; one protocol, three homes."""
