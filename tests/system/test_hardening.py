"""What the linker and the compiler were asked for is in the binary."""

import shutil
import subprocess
import unittest

from agent import BINARY, SLOW


def readelf(*flags):
    return subprocess.run(["readelf", "-W", *flags, BINARY], check=True, stdout=subprocess.PIPE, text=True).stdout


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
