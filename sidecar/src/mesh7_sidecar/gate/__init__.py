"""The shell around the judge: one call judged, one record written."""
