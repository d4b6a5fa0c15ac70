#!/usr/bin/python3
"""Reads the system calls that a unit allows.

    units.py names UNIT               prints their names, one per line
    units.py filter ACTION UNIT FILE  writes a BPF filter that allows only these; ACTION is what
                                      happens to others: kill (the process), or eperm, as in the unit

systemd-analyze expands the groups, so the names are those that this machine's systemd would allow.
systemd allows its group @default in any case. Names of other architectures are left out of a filter.
"""

import subprocess
import sys


def members(group):
    """Yields the system calls of a group, and of the groups in it."""
    command = ["systemd-analyze", "syscall-filter", group]
    for line in subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()[1:]:
        yield from expand(line.split("#")[0].strip())


def expand(name):
    if name.startswith("@"):
        yield from members(name)
    elif name:
        yield name


def allowed(unit):
    """Returns the set of system calls that a unit allows. The unit has to be a list of what is allowed."""
    names = set(members("@default"))
    with open(unit, encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("SystemCallFilter="):
                words = line.strip().split("=", 1)[1].split()
                if not words or words[0].startswith("~"):
                    sys.exit(f"{unit}: units.py cannot read {line}")
                for word in words:
                    names.update(expand(word))
    return names


def write_filter(action, unit, path):
    import seccomp  # Debian's python3-seccomp

    actions = {"kill": seccomp.KILL_PROCESS, "eperm": seccomp.ERRNO(1)}
    result = seccomp.SyscallFilter(defaction=actions[action])
    for name in sorted(allowed(unit)):
        try:
            result.add_rule(seccomp.ALLOW, name)
        except (RuntimeError, ValueError):
            pass  # a name that this architecture, or this libseccomp, does not have
    with open(path, "wb") as file:
        result.export_bpf(file)


if len(sys.argv) == 3 and sys.argv[1] == "names":
    print("\n".join(sorted(allowed(sys.argv[2]))))
elif len(sys.argv) == 5 and sys.argv[1] == "filter":
    write_filter(*sys.argv[2:])
else:
    sys.exit(__doc__)
