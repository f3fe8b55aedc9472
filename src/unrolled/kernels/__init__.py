"""What is computed in C on a CPU: its sources (``csrc``), and how they are built and called."""
