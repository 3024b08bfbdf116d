"""The wattseal command, one file per subcommand."""
