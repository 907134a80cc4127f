"""The controller: watches what people write, applies what the plan says, under a Lease."""
