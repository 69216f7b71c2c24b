"""One kind of data set a file: reading it, and writing it where it can be written."""
