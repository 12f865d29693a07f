"""The fault harness: the real system as separate processes, driven, hurt, and compared with an oracle."""
