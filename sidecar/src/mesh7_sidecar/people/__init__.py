"""People who decide: who they are, what keeps others from passing for them, what they are shown."""
