"""Images drawn from numbers: rosette plants and scenes of several classes."""
