"""Training: recipes, the loop, stages, checkpoints and run folders."""
