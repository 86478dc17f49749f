"""What a process runs on and beside: devices, the process group, the watchdog, exit codes."""
