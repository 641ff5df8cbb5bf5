"""The same networks and examples through other libraries, and every difference explained."""
