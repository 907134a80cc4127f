"""Certificates of our own: pure plans of what is made, published, waited for and dropped, when."""
