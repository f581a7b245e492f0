"""Products whose activation gets its scale in each run, from the values that it has there."""
