"""Predictions of any program against the truth: scores, intervals, a report."""
