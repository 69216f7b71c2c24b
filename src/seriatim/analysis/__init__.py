"""Numbers from finished runs: orders of objects (`order`, `pairs`, `activations`), what a network holds and needs (`states`, `recurrence`), how results fail (`failures`)."""
