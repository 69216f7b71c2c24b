"""Figures: this room draws what it is given. matplotlib is imported only here, and comes with the extra `plots`."""
