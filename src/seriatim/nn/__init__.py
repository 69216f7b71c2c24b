"""Network blocks with an equation of their own."""
