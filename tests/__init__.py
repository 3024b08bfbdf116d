"""The tests. A package, because gmqtt brings one of this name along, which would stand before a folder without this."""
