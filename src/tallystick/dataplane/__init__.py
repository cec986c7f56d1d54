"""Moving the data itself: sources, encryption, sending, receiving."""
