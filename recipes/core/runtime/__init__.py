"""The process of a stage: devices, process group, watchdog, exit codes, console, entry point."""
