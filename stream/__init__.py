"""Threads, queues, terminals and the command."""
