"""From an image of any size to its objects: the predictor, tiles and their joining, what is written, and evaluation."""
