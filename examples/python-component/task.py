"""A task in Python, compiled to a component: counts the words of its standard input."""

import os
import sys

from wit_world import exports
from wit_world.imports import guest


class Run(exports.Run):
    def run(self):
        words = len(sys.stdin.read().split())
        guest.progress(words, words, "counted")
        guest.set_result(str(words).encode())
        print(f"{os.environ['SKEP_TASK_ID'].split('.')[-1]}: {words} words")
        sys.stdout.flush()
