"""The demonstration: five sites that do not exist, software keys, a simulated chain. All of it says that it is one."""
