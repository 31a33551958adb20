"""Rows to measure the portal on (rows, fill), what it takes (run), and what many agents would
(simulation)."""
