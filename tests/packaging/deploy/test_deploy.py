"""`make deploy` with the real SAM, promtool and program, on a pseudo-terminal.

The variables EMULATOR (URL), BOOTSTRAP, MAKE and PROMTOOL name what the tests need.
"""

import os
import pathlib
import pty
import re
import select
import stat
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/packaging/template"))

from cloud import REGION, Cloud

PROMPT = re.compile(r"\[[^\]\n]*\]: $")
TIMEOUT_SECONDS = 300


class Deploying(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.cloud = Cloud(os.environ["EMULATOR"], os.environ["BOOTSTRAP"], cls.folder)
        cls.addClassCleanup(cls.cloud.close)
        cls.archive = cls.folder / "bootstrap.zip"
        with zipfile.ZipFile(cls.archive, "w") as archive:
            archive.writestr("bootstrap", "stands for the program, which the stack starts as a server")

    def environment(self, deploy_dir, **variables):
        unset = "REGION STACK_NAME AUTHENTICATION TABLES DATABASE TABLE PARAMETERS AWS_PROFILE AWS_REGION".split()
        return {name: value for name, value in os.environ.items() if name not in unset} | {
            "AWS_ENDPOINT_URL": self.cloud.url,
            "AWS_ENDPOINT_URL_TIMESTREAM_WRITE": os.environ["EMULATOR"],
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": "/dev/null",
            "SAM_CLI_POLL_DELAY": "0.1",
            "ARCHIVE": str(self.archive),
            "DEPLOY_DIR": str(deploy_dir),
            "CHECK_SECONDS": "60",
        } | variables

    def on_terminal(self, deploy_dir, lines=(), **variables):
        """Runs it with the lines at its first prompts, and Enter at all others; returns status, output, prompts."""
        process, terminal = pty.fork()
        if process == 0:
            os.chdir(ROOT)
            os.execvpe("make", ["make", "--no-print-directory", "deploy"], self.environment(deploy_dir, **variables))
        output, prompts, lines = "", [], list(lines)
        end = time.monotonic() + TIMEOUT_SECONDS
        while True:
            if time.monotonic() > end:
                os.kill(process, 9)
                self.fail(f"it waits for something:\n{output}")
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                read = os.read(terminal, 4096)
            except OSError:
                # Linux's sign that the other side is closed.
                break
            if not read:
                break
            output += read.decode(errors="replace").replace("\r\n", "\n")
            last = output.rsplit("\n", 1)[-1]
            if PROMPT.search(last):
                prompts.append(last)
                output += "\n"
                os.write(terminal, (lines.pop(0) if lines else "").encode() + b"\n")
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), output, prompts

    def unattended(self, deploy_dir, **variables):
        return subprocess.run(
            ["scripts/deploy.sh"],
            cwd=ROOT,
            env=self.environment(deploy_dir, **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )

    def assert_promtool_accepts(self, file):
        command = [os.environ["PROMTOOL"], "check", "config", str(file)]
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_enter_four_times_deploys_and_the_next_run_uses_the_same_token(self):
        deploy_dir = self.folder / "enter"
        status, output, prompts = self.on_terminal(deploy_dir)
        self.assertEqual(status, 0, output)
        self.assertEqual(len(prompts), 4, prompts)
        defaults = [re.search(r"\[(.*)\]: $", prompt)[1] for prompt in prompts]
        self.assertEqual(defaults, [REGION, "timestream-prometheus-connector", "bearer", "create"])
        stack = self.cloud.stacks["timestream-prometheus-connector"]
        self.assertEqual(stack.status, "CREATE_COMPLETE")
        folder = deploy_dir / REGION / "timestream-prometheus-connector"
        token_file = folder / "connector.token"
        token = token_file.read_text().strip()
        self.assertRegex(token, r"^[0-9a-f]{64}$")
        self.assertEqual(stat.S_IMODE(token_file.stat().st_mode), 0o600)
        self.assertEqual(stack.parameters["BearerToken"], token)
        self.assertNotIn(token, output)
        # SAM was there, and its command line has no secret.
        self.assertIn(" deploy --config-file ", self.cloud.command_lines)
        self.assertNotIn(token, self.cloud.command_lines)
        self.assertIn("is stored and returned", output)
        self.assertIn("Requests without a credential are rejected", output)
        self.assertRegex(output, r"     ok  test series: .*\n.*has passed its own checks")

        written = (folder / "prometheus.yml").read_text()
        self.assertIn(f"url: {stack.url}/write", written)
        self.assertIn(f"url: {stack.url}/read", written)
        self.assertNotIn(token, written)
        self.assert_promtool_accepts(folder / "prometheus.yml")
        # Lines of tables of SAM end in blanks; nothing of the output is half a file.
        self.assertNotIn("remote_write:", output)

        status, output, prompts = self.on_terminal(deploy_dir)
        self.assertEqual(status, 0, output)
        self.assertEqual([re.search(r"\[(.*)\]: $", prompt)[1] for prompt in prompts], defaults)
        self.assertEqual(token_file.read_text().strip(), token)
        stack = self.cloud.stacks["timestream-prometheus-connector"]
        self.assertEqual((stack.status, stack.parameters["BearerToken"]), ("UPDATE_COMPLETE", token))

        # On another machine: the stack's choices, but not its token, which CloudFormation does not return.
        elsewhere = self.unattended(
            self.folder / "elsewhere", REGION=REGION, STACK_NAME=stack.name, AUTHENTICATION="bearer", TABLES="create"
        )
        self.assertEqual(elsewhere.returncode, 1, elsewhere.stdout)
        self.assertIn("has a credential that is not in", elsewhere.stdout)
        self.assertIn("NEW_CREDENTIAL=1", elsewhere.stdout)

    def test_each_authentication_by_variables_alone(self):
        for method, shown in (("basic", "password_file: connector.password"), ("iam", "service_name: execute-api")):
            with self.subTest(method):
                deploy_dir = self.folder / method
                done = self.unattended(
                    deploy_dir,
                    REGION=REGION,
                    STACK_NAME=f"by-{method}",
                    AUTHENTICATION=method,
                    TABLES="create",
                    DATABASE=f"of-{method}",
                    TABLE="elsewhere",
                    PARAMETERS="MaxRetries=7 MetadataTable=off",
                )
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertIn("is stored and returned", done.stdout)
                self.assertIn("Requests without a credential are rejected", done.stdout)
                stack = self.cloud.stacks[f"by-{method}"]
                self.assertEqual(stack.parameters["MaxRetries"], "7")
                self.assertEqual(stack.parameters["DefaultTable"], "elsewhere")
                written = deploy_dir / REGION / f"by-{method}" / "prometheus.yml"
                self.assertIn(shown, written.read_text())
                self.assert_promtool_accepts(written)

    def test_wrong_input_is_prompted_for_again(self):
        variables = {"STACK_NAME": "again", "PARAMETERS": "nonsense"}
        status, output, prompts = self.on_terminal(self.folder / "again", ["mars-1", REGION, "none", "basic"], **variables)
        self.assertEqual(status, 2, output)
        self.assertEqual(len(prompts), 5, prompts)
        self.assertIn("'mars-1' is not possible; expected a region of Timestream: ", output)
        self.assertIn("'none' is not possible; expected bearer, basic or iam", output)
        self.assertIn("PARAMETERS has 'nonsense'", output)

    def test_without_a_terminal_it_names_the_variable(self):
        done = self.unattended(self.folder / "none", REGION=REGION, STACK_NAME="none")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("AUTHENTICATION is not set", done.stdout)
        self.assertIn("bearer, basic or iam", done.stdout)
        done = self.unattended(self.folder / "none", REGION="mars-1")
        self.assertIn("REGION is 'mars-1'; expected a region of Timestream", done.stdout)

    def test_a_function_that_does_not_work_is_an_error(self):
        done = self.unattended(
            self.folder / "broken",
            REGION=REGION,
            STACK_NAME="broken",
            AUTHENTICATION="bearer",
            TABLES="existing",
            DATABASE="nowhere",
            CHECK_SECONDS="5",
        )
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("/v1/metrics: ", done.stdout)
        self.assertIn("the stack is deployed, but ", done.stdout)


if __name__ == "__main__":
    unittest.main()
