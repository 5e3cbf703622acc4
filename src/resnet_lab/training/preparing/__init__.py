"""What is settled once before training: whether the network fits, its optimizer, the threads."""
