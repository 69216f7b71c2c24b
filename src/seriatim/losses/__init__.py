"""Training costs: functions of predictions and targets."""
