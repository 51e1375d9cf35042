"""What runs in a process of its own, so that one measurement never touches another."""
