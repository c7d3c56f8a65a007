"""The place for the search for architectures: spaces, moves, searchers, reward and front, over any callable."""
