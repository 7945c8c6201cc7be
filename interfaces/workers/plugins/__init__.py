"""Actions of installed packages on a worker: each execution's run in a process of their own, with bounds on what it may use."""
