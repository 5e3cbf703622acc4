"""What a run gives back later: its network, its data, its values measured again."""
