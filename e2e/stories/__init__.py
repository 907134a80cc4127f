"""Stories on a real cluster: a folder each, with manifests, a sentence and a test."""
