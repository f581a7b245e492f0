"""Every compression method on the full Fashion-MNIST with ResNet-18, by the flow itself: the rows of docs/results.md."""
