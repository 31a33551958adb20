"""Measuring the portal: rows to measure it on (rows, fill), and what it takes (run)."""
