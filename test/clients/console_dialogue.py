"""A short dialogue with `jupyter console` in a terminal of its own; fails where an answer doesn't come.

Prints what was said. Used by console.test.ts.
"""
import sys
import pexpect

child = pexpect.spawn(
    sys.executable,
    ["-m", "jupyter_console", "--kernel", "warpbook", "--simple-prompt"],
    encoding="utf-8",
    timeout=30,
    dimensions=(40, 160),
)
child.logfile_read = sys.stdout
count = 0


def say(line, *answers):
    """Waits for the prompt, types a line, and wants each answer in turn."""
    global count
    count += 1
    child.expect_exact(f"In [{count}]: ")
    child.sendline(line)
    for answer in answers:
        child.expect_exact(answer)


say("const x: number = 41; x + 1", "42")
say('console.log(`printed ${typeof policies}`)', "printed object")
say('throw new RangeError("broken")', "RangeError: broken", "cell 3, line 1, column 7", "^")
say("x", "41")
say('const s: string = x', "TS2322", "line 1, column 7")
say("await normal([2, 2], { seed: 1 }).print()", "0.3804006", "-1.0038372")
# What was sent right behind an error is lost in kernels that drop it: the console then waits for ever.
say('const name = prompt("Who? "); name.length', "Who? ")
child.sendline("Ada")
child.expect_exact("3")
say('console.log("busy"); for (;;) {}', "busy\r\n")
child.sendintr()
child.expect_exact("Interrupted")
say("x + 2", "43")
child.expect_exact(f"In [{count + 1}]: ")
child.sendeof()
child.expect_exact("exit")
child.sendline("y")
child.expect(pexpect.EOF)
child.close()
sys.exit(child.exitstatus or 0)
