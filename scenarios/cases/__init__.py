"""One file per scenario; adding a file here is all it takes to add one."""
