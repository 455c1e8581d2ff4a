"""The released `aleph` command line, run in this process: its own entry point, its own commands.

A start of the executable costs seconds of imports, so most commands are called
through the click runner; `program` runs the installed executable itself.
"""

import os
import pathlib
import subprocess
import sys

from network import VISIBLE_SECONDS

ANSI_FREE = {"NO_COLOR": "1", "COLUMNS": "250", "TERM": "dumb"}
#: Longest time for one command of the executable.
COMMAND_SECONDS = 120


class Cli:
    """Calls commands and notes which."""

    #: Commands that were called, as `group command`.
    called = set()

    def __init__(self, network):
        # Only now: the command line reads the node's URL while it is imported.
        from aleph_client.__main__ import app
        from typer.main import get_command
        from typer.testing import CliRunner

        self.network = network
        self.app = app
        self.root = get_command(app)
        self.runner = CliRunner()

    def commands(self):
        """Every command that the program offers."""
        found, waiting = [], [((), self.root)]
        while waiting:
            path, command = waiting.pop()
            for name, child in getattr(command, "commands", {}).items():
                waiting.append(((*path, name), child))
            if not hasattr(command, "commands"):
                found.append(" ".join(path))
        return set(found)

    def __call__(self, *arguments, key=None, answers="", code=0):
        """Runs a command with answers for its questions; its whole output, if it ends with `code`."""
        self._note(arguments)
        self._forget_what_was_fetched()
        words = [str(word) for word in arguments]
        if key is not None:
            words += ["--private-key", key]
        done = self.runner.invoke(self.app, words, input=answers, env=ANSI_FREE)
        assert done.exit_code == code, f"aleph {' '.join(words)}\n{done.output}\n{done.exception!r}"
        #: What ended the last command, if not its own end.
        self.failure = done.exception
        return done.output

    def program(self, *arguments, key=None):
        """A process of the installed executable, with settings that only name the local node."""
        self._note(arguments)
        environment = {**os.environ, **ANSI_FREE, "ALEPH_API_HOST": self.network.core[0], "PYTHONUNBUFFERED": "1"}
        environment["ALEPH_ALEPH_AGGREGATE_ADDRESS"] = self.network.foundation.get_address()
        executable = pathlib.Path(sys.executable).with_name("aleph")
        words = [str(word) for word in arguments] + (["--private-key", key] if key else [])
        return subprocess.Popen(
            [str(executable), *words], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )

    def run(self, *arguments, key=None, answers=""):
        """Runs the executable to its end."""
        process = self.program(*arguments, key=key)
        output, _ = process.communicate(answers, timeout=COMMAND_SECONDS)
        assert process.returncode == 0, output
        return output

    def _note(self, arguments):
        command, path = self.root, []
        for word in arguments:
            command = getattr(command, "commands", {}).get(word)
            if command is None:
                break
            path.append(word)
        self.called.add(" ".join(path))

    @staticmethod
    def _forget_what_was_fetched():
        """The program keeps prices and nodes as long as it lives, which here is the whole session."""
        from aleph_client.commands import pricing
        from aleph_client.commands.instance import network

        for function in (pricing.fetch_pricing_aggregate, network.call_program_crn_list, network.fetch_settings):
            getattr(function, "cache_clear", lambda: None)()


def until(ask, accept=bool, seconds=VISIBLE_SECONDS):
    """Asks the node until the answer is accepted; commands return before their message is processed."""
    import time
    import urllib.error

    deadline = time.monotonic() + seconds
    while True:
        answer, failure = None, None
        try:
            answer = ask()
            if accept(answer):
                return answer
        except (urllib.error.HTTPError, KeyError, IndexError) as error:
            failure = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not visible within {seconds} s: {answer!r} {failure!r}")
        time.sleep(0.02)
