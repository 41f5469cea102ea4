"""Connect goalgap to other interfaces: Gymnasium, the terminal, and Inspect."""
