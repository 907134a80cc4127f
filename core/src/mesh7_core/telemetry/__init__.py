"""What is seen of calls: their passage, their one record, spans, and all instruments."""
