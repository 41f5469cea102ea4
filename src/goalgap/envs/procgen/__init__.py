"""Re-create Procgen's games: CoinRun, Maze and Heist, with their levels, physics and pictures."""
