"""What the methods that quantize share."""
