"""What every room speaks: instances, errors, shapes, config. Knows no room above it."""
