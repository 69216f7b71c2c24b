"""Numbers from finished runs: orders of objects (`order`), what a network holds in its states (`states`), how results fail (`failures`)."""
