"""Exercises: functions of npresnet with a few lines taken out, for the reader to put back.

    npresnet exercise start          writes one file an exercise; nothing that is there is overwritten
    npresnet exercise check          runs them; where one goes wrong it shows the first wrong number and what it sees

An exercise is the package's own function without those lines, so the solution is the package's own code.

    exercise    what an exercise is, and its file
    catalogue   which there are, in order
    cases       the inputs that they are checked on
    checking    run a reader's file on them
    running     the same in a process with a time limit
    pictures    the patch behind a wrong number, drawn with characters
"""

from __future__ import annotations

from npresnet.teach.exercises.catalogue import EXERCISES
from npresnet.teach.exercises.checking import Verdict, check_text
from npresnet.teach.exercises.exercise import Exercise, start
from npresnet.teach.exercises.running import check, check_files

__all__ = ["EXERCISES", "Exercise", "Verdict", "check", "check_files", "check_text", "start"]
