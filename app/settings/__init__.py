"""What the settings of `config.py` are read from, and what their texts mean."""
