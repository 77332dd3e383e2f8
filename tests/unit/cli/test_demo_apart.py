"""What a demonstration prepares in a child: nothing of it stays with the server, and each end is told to the caller."""

from unit.process.forked_program import run

APART = """
import typer
from mic_mail.cli.commands.demo import apart
from mic_mail.errors import Refused, Text
def say_end(work):
    try:
        apart(work)
        return "done"
    except (typer.Exit, ChildProcessError) as error:
        return getattr(error, "exit_code", None) or str(error)
"""


def test_what_it_loads_stays_in_the_child() -> None:
    """Neither modules nor what the work has changed."""
    code = """
made = []
def work():
    import wave
    made.append(wave)
print(say_end(work), made, "wave" in sys.modules)
"""
    assert run(APART + code) == "done [] False\n"


def test_each_end_is_told() -> None:
    """A refusal by its exit code, after the child has said it; a signal as what it is."""
    code = """
def refuse():
    raise Refused(Text("không", "no"), remedy=Text("thôi", "stop"))
print(say_end(refuse), say_end(lambda: os.kill(os.getpid(), signal.SIGKILL)))
"""
    assert run(APART + code) == "1 the process that makes the demonstration ended by signal 9\n"


def test_it_ends_with_the_parent() -> None:
    """It would otherwise go on writing where another demonstration may begin."""
    code = """
ready, begun = os.pipe()
parent = os.fork()
if parent == 0:
    def work():
        os.write(2, b"%d\\n" % os.getpid())
        time.sleep(60)
    os.dup2(begun, 2)
    apart(work)
os.close(begun)
child = int(os.read(ready, 20))
os.kill(parent, signal.SIGTERM)
os.waitpid(parent, 0)
print(os.read(ready, 20))
"""
    assert run(APART + code) == "b''\n"


def test_an_interrupt_ends_the_child() -> None:
    """Ctrl-C reaches the parent alone."""
    code = """
from mic_mail.process import fork as forks
children = []
wait = forks.Forked.wait
def interrupted(child):
    if not children:
        children.append(child)
        raise KeyboardInterrupt
    return wait(child)
forks.Forked.wait = interrupted
try:
    apart(lambda: time.sleep(60))
except KeyboardInterrupt:
    print("interrupted", children[0].returncode)
"""
    assert run(APART + code) == "interrupted -9\n"
