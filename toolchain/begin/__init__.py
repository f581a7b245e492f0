"""The first step with a model of one's own: from what a user has to a folder in models/ that can be deployed."""
