"""Numbers from finished runs: what a network holds in its states (`states`), and how its results fail (`failures`)."""
