"""The commands: one file each, whose `main(arguments)` returns the exit code and documents itself.

Exit codes: 0 all well; 1 a run failed, or the world did (disk, data); 2 a mistake of the user's,
and then nothing was written; 130 interrupted.
"""

FAILED, MISTAKE, INTERRUPTED = 1, 2, 130
