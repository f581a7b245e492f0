"""Models of others from PyPI, and the data that is made for them here: a folder for each, with the recipe that deploys it."""
