"""A server under test, for the scripts of `tests/contract` and `tests/timing`."""

import json
import os
import subprocess
import time

PASSWORD = "Quartz-lantern-4711-meadow"
"""A password that no rule refuses."""


class Server:
    """`jeton serve` in a folder of its own, on SQLite, and its command line."""

    def __init__(self, folder, binary, settings=None):
        self.folder, self.binary, self.process, self.url = folder, binary, None, None
        self.env = {
            "PATH": os.environ["PATH"],
            "JETON_SERVER__BIND": "127.0.0.1:0",
            "JETON_SERVER__METRICS_BIND": "",
            "JETON_SERVER__PUBLIC_URL": "https://jeton.test",
            "JETON_LOGIN__ADDRESS_FAILURES": "0",   # all that is guessed comes from one address
        } | (settings or {})

    def start(self):
        log = open(self.folder / "server.log", "wb")
        self.process = subprocess.Popen([self.binary, "serve"], cwd=self.folder, env=self.env, stdout=log, stderr=log)
        for _ in range(300):
            for line in (self.folder / "server.log").read_text().splitlines():
                event = json.loads(line) if line.startswith("{") else {}
                if event.get("message") == "listening":
                    self.url = f"http://{event['address']}"
                    return
            time.sleep(0.1)
        raise RuntimeError((self.folder / "server.log").read_text())

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(30)

    def run(self, *arguments, stdin=""):
        command = [str(self.binary), *arguments, "--json"]
        done = subprocess.run(command, cwd=self.folder, env=self.env, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stderr}")
        return json.loads(done.stdout)
