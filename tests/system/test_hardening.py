"""What the linker and the compiler were asked for is in the binary."""

import json
import shutil
import subprocess
import unittest

from agent import BINARY, SLOW
from cri import missing_probe, probe_path


def readelf(*flags, binary=BINARY):
    return subprocess.run(["readelf", "-W", *flags, binary], check=True, stdout=subprocess.PIPE, text=True).stdout


def checksec(binary):
    told = subprocess.run(["checksec", "--file=" + binary, "--output=json"], check=True, stdout=subprocess.PIPE)
    return json.loads(told.stdout)[binary]


class HardeningTest(unittest.TestCase):
    def setUp(self):
        if SLOW > 1:
            self.skipTest("A SANITIZER BUILD IS LINKED IN ANOTHER WAY")
        if not shutil.which("readelf") or not shutil.which("objdump"):
            self.skipTest("NEEDS binutils: readelf and objdump")

    def test_static_and_position_independent(self):
        self.assertIn("DYN (Position-Independent Executable file)", readelf("-h"))
        self.assertNotIn("INTERP", readelf("-l"))
        dynamic = readelf("-d")
        self.assertNotIn("NEEDED", dynamic)
        self.assertNotIn("TEXTREL", dynamic)
        self.assertRegex(dynamic, r"FLAGS_1\).*PIE")

    def test_full_relro_and_no_executable_stack(self):
        segments = readelf("-l")
        self.assertIn("GNU_RELRO", segments)
        self.assertRegex(segments, r"GNU_STACK.* RW ")
        self.assertNotIn("RWE", segments)
        self.assertRegex(readelf("-d"), r"FLAGS_1\).*NOW")

    def test_stack_protector(self):
        code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", BINARY], check=True, stdout=subprocess.PIPE,
                              text=True).stdout
        self.assertGreater(code.count("%fs:0x28"), 500)

    def test_clean_under_checksec(self):
        if not shutil.which("checksec"):
            self.skipTest("NEEDS checksec")
        clean = {"relro": "full", "nx": "yes", "pie": "yes", "rpath": "no", "runpath": "no"}
        shipped = checksec(BINARY)
        self.assertLessEqual({**clean, "symbols": "no"}.items(), shipped.items(), shipped)
        if missing_probe("agent_with_symbols"):
            self.skipTest(missing_probe("agent_with_symbols"))
        # What checksec finds by the names of functions is looked for where they are. Of FORTIFY it knows only the calls
        # into a shared libc.
        named = checksec(probe_path("agent_with_symbols"))
        self.assertLessEqual({**clean, "canary": "yes"}.items(), named.items(), named)
        self.assertRegex(readelf("-s", binary=probe_path("agent_with_symbols")), r"\b__memcpy_chk\b")
