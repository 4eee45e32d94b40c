"""The parts wired to a service, its settings, and servers of its own."""
