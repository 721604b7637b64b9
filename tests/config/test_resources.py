"""conf.d: what is accepted, and what every fault says."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pyconfd.config.resources import load_resources
from pyconfd.config.settings import Settings, load_settings
from pyconfd.errors import ResourceError
from pyconfd.model.resources import Command, Guard, Origin, Resource, ResourceSet, Service

GOOD = 'src = "a.j2"\ndest = "/tmp/pyconfd-test/a"\nkeys = ["/a"]\n'

Write = Callable[..., Path]


@pytest.fixture
def confdir(tmp_path: Path) -> Path:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "templates" / "sub").mkdir(parents=True)
    (tmp_path / "templates" / "a.j2").touch()
    (tmp_path / "templates" / "sub" / "b.j2").touch()
    return tmp_path


@pytest.fixture
def write(confdir: Path) -> Write:
    def write(text: str, name: str = "a.toml") -> Path:
        path = confdir / "conf.d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write


def settings(*argv: str) -> Settings:
    return load_settings(argv, {})


def load(confdir: Path, *argv: str) -> ResourceSet:
    return load_resources(str(confdir), settings(*argv))


def only(confdir: Path, *argv: str) -> Resource:
    found = load(confdir, *argv)
    assert not found.faults
    (resource,) = found.resources
    return resource


def faults(confdir: Path, *argv: str) -> list[str]:
    """Faults with the path of conf.d taken away."""
    try:
        found = load(confdir, *argv).faults
    except ResourceError as error:
        found = error.faults
    return [str(fault).replace(f"{confdir}/", "") for fault in found]


def test_all_keys_are_read(confdir: Path, write: Write) -> None:
    """Each one reaches its field."""
    path = write(
        """\
        # everything
        [template]
        src = "sub/b.j2"
        dest = "/tmp/pyconfd-test/x.conf"
        keys = ["/a", "b/", "//a"]
        prefix = "/site"
        mode = "644"
        uid = 12
        gid = 34
        make_dirs = true
        check_cmd = "check {{.src}}"
        check_cmd_timeout = "5s"
        reload_cmd = "reload"
        reload_cmd_timeout = 6
        min_reload_interval = "1s"
        hold_min = "500ms"
        hold_max = 20
        format = "nginx"
        min_keys = 2
        max_shrink = 0.5
        require = ["server_name"]
        allow_empty = true
        guard_timeout = "10m"
        """
    )
    assert only(confdir, "--prefix", "/global") == Resource(
        name="a",
        origin=Origin(str(path), 2),
        src="sub/b.j2",
        dest="/tmp/pyconfd-test/x.conf",
        prefix="/global/site",
        keys=("/a", "/b"),
        mode=0o644,
        uid=12,
        gid=34,
        make_dirs=True,
        check=Command("check {{.src}}", 5.0),
        service=Service(reload=Command("reload", 6.0), min_reload_interval_s=1.0),
        format="nginx",
        guard=Guard(
            min_keys=2, max_shrink=0.5, require=("/server_name",), allow_empty=True, timeout_s=600.0
        ),
        hold_min_s=0.5,
        hold_max_s=20.0,
    )


def test_the_least_is_src_dest_and_keys(confdir: Path, write: Write) -> None:
    """Timeouts of commands come from the settings."""
    write("[template]\n" + GOOD + 'check_cmd = "c"\nreload_cmd = ""\n')
    resource = only(confdir, "--check-cmd-timeout", "3")
    assert resource.check == Command("c", 3.0)
    assert resource.reload is None, "an empty command is none, as with confd"
    assert (resource.prefix, resource.mode, resource.uid) == ("/", None, None)


@pytest.mark.parametrize(
    ("given", "bits"), [("644", 0o644), ("0644", 0o644), ("0640", 0o640), ("000", 0)]
)
def test_mode_is_always_octal(confdir: Path, write: Write, given: str, bits: int) -> None:
    """confd reads "644" as decimal and makes 0204 of it."""
    write("[template]\n" + GOOD + f'mode = "{given}"\n')
    assert only(confdir).mode == bits


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("mode = 644", 'mode is a number (write the octal digits in quotes: "0644")'),
        ("mode = 0o644", 'mode is a number (write the octal digits in quotes: "0644")'),
        ('mode = "0o644"', "mode '0o644' is not octal (write three digits 0 to 7: \"0644\")"),
        ('mode = "0888"', "mode '0888' is not octal (write three digits 0 to 7: \"0644\")"),
        (
            'mode = "rw-r--r--"',
            "mode 'rw-r--r--' is not octal (write three digits 0 to 7: \"0644\")",
        ),
        ('mode = "4755"', "mode '4755' sets setuid, setgid or sticky (use the last three digits)"),
        ('chekc_cmd = "x"', "unknown key: chekc_cmd (did you mean check_cmd?)"),
        (
            'check_cmd = ["a", "b"]',
            "check_cmd is a list (write one string; the shell takes it apart)",
        ),
        ("reload_cmd = 3", 'reload_cmd is not text (write reload_cmd = "...")'),
        ("check_cmd_timeout = 0", "check_cmd_timeout: must be above 0"),
        (
            'reload_cmd_timeout = "soon"',
            "reload_cmd_timeout: 'soon' is not a duration; write seconds or 500ms, 10s, 5m",
        ),
        ("hold_min = -1", "hold_min: -1 is not between 0 and 1000000000 seconds"),
        ('format = "ngnix"', "format 'ngnix' is not known (did you mean nginx?)"),
        ("min_keys = -1", "min_keys is not a number of 0 or more"),
        ("max_shrink = 50", "max_shrink is not between 0 and 1 (0.5 is half of the keys)"),
        ('require = "/a"', 'require is not a list of strings (write require = ["/..."])'),
        ("guard_timeout = 0", "guard_timeout: must be above 0"),
        ("hold_min = 1\nhold_max = 0.5", "hold_max is less than hold_min"),
        ("hold_min = 1\ndebounce = 1", "debounce is another name of hold_min, and both are given"),
        ("uid = true", "uid is not a number of 0 or more (names go into owner)"),
        ('uid = "www-data"', "uid is not a number of 0 or more (names go into owner)"),
        ("gid = -1", "gid is not a number of 0 or more (names go into group)"),
        ("uid = 4294967295", "uid is not a number of 0 or more (names go into owner)"),
        ('owner = "root"\nuid = 0', "owner and uid are both given (leave one out)"),
        (
            'group = "nogroup-here"',
            "there is no group called nogroup-here (members of a [group.NAME] are listed there)",
        ),
        ('owner = "1000"', "there is no user called 1000 (numbers go into uid)"),
        ('make_dirs = "yes"', "make_dirs is not true or false"),
        ('prefix = ["/a"]', 'prefix is not text (write prefix = "...")'),
        ('reload_cmd = "a\\u0000b"', "reload_cmd holds a NUL character"),
        (
            'output_format = "json"',
            "unknown key: output_format (check the staged file with check_cmd)",
        ),
    ],
)
def test_bad_values_say_what_to_write(confdir: Path, write: Write, lines: str, said: str) -> None:
    """With file and line; the resource is not done."""
    write("[template]\n" + GOOD + lines + "\n")
    (fault,) = faults(confdir)
    place, _, what = fault.partition(": ")
    assert what == said
    assert place in ("conf.d/a.toml:5", "conf.d/a.toml:6")


@pytest.mark.parametrize("through", ["itself", "a link", "the file that declares it"])
def test_a_destination_that_is_its_own_source_is_refused(
    confdir: Path, write: Write, through: str
) -> None:
    """A slip in a path must not replace what a person has written."""
    (confdir / "link").symlink_to("templates/a.j2")
    dest = {
        "itself": f"{confdir}/templates/sub/../a.j2",
        "a link": f"{confdir}/link",
        "the file that declares it": f"{confdir}/conf.d/a.toml",
    }[through]
    write(f'[template]\nsrc = "a.j2"\nkeys = ["/a"]\ndest = "{dest}"\n')
    what = "this very file" if "declares" in through else "its own template"
    assert faults(confdir) == [f"conf.d/a.toml:4: dest is {what} (name another one)"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('dest = "/x/a"\nkeys = ["/"]', "1: src is missing"),
        ('src = "a.j2"\nkeys = ["/"]', "1: dest is missing"),
        (
            'src = "a.j2"\ndest = "/x/a"',
            "1: keys is missing (name the key paths the "
            "template reads; keys = [] if it reads none)",
        ),
        ('src = "a.j2"\ndest = ""\nkeys = []', "3: dest is empty"),
        (
            'src = "a.j2"\ndest = "/x/a"\nkeys = "/a"',
            '4: keys is not a list of strings (write keys = ["/..."])',
        ),
        (
            'src = "a.j2"\ndest = "/x/a"\nkeys = [""]',
            '4: keys holds an empty path (write "/" for the whole store)',
        ),
        ('src = "a.j2"\ndest = "/x/a/"\nkeys = []', "3: dest is a folder: /x/a/ (name the file)"),
        ('src = "a.j2"\ndest = "/tmp"\nkeys = []', "3: dest is a folder: /tmp (name the file)"),
        (
            'src = "b.j2"\ndest = "/x/a"\nkeys = []',
            "2: template does not exist: templates/b.j2 (did you mean sub/b.j2?)",
        ),
        (
            'src = "sub"\ndest = "/x/a"\nkeys = []',
            "2: template is a folder: templates/sub (did you mean sub/b.j2?)",
        ),
        (
            'src = "../a.j2"\ndest = "/x/a"\nkeys = []',
            "2: src leaves the templates folder: ../a.j2 (it is templates)",
        ),
        (
            'src = "/etc/passwd"\ndest = "/x/a"\nkeys = []',
            "2: src leaves the templates folder: /etc/passwd (it is templates)",
        ),
    ],
)
def test_what_is_missing_is_named(confdir: Path, write: Write, lines: str, said: str) -> None:
    """Keys that every resource needs, and templates that are not there."""
    write(f"[template]\n{lines}\n")
    assert faults(confdir) == [f"conf.d/a.toml:{said}"]


def test_keys_may_be_empty_on_purpose(confdir: Path, write: Write) -> None:
    """For a template that reads nothing from the store."""
    write('[template]\nsrc = "a.j2"\ndest = "/x/a"\nkeys = []\n')
    assert only(confdir).keys == ()


def test_debounce_is_the_forks_name_of_hold_min(confdir: Path, write: Write) -> None:
    """A longer quiet time than the usual longest wait moves that too."""
    write("[template]\n" + GOOD + 'debounce = "15s"\n')
    resource = only(confdir)
    assert (resource.hold_min_s, resource.hold_max_s) == (15.0, 15.0)


def test_owners_are_found_by_name(confdir: Path, write: Write) -> None:
    """In the accounts of this machine."""
    write("[template]\n" + GOOD + 'owner = "root"\ngroup = "root"\n')
    resource = only(confdir)
    assert (resource.uid, resource.gid) == (0, 0)


def test_a_relative_dest_starts_at_the_current_folder(
    confdir: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with confd."""
    monkeypatch.chdir(confdir)
    write('[template]\nsrc = "a.j2"\ndest = "out/../x"\nkeys = []\n')
    assert only(confdir).dest == str(confdir / "x")


def test_folders_are_read_in_order_and_hidden_names_left_out(confdir: Path, write: Write) -> None:
    """Editors' locks, and the versioned folders that mounted config maps link to."""
    for number, name in enumerate(["b.toml", "a.toml", "sub/deep/c.toml", "..data/d.toml"]):
        write(f'[template]\nsrc = "a.j2"\ndest = "/x/{number}"\nkeys = []\n', name)
    (confdir / "conf.d" / ".#a.toml").symlink_to("nobody@nowhere")
    (confdir / "conf.d" / "e.toml").symlink_to("..data/d.toml")
    (confdir / "conf.d" / "loop").symlink_to(".")
    write("nothing to see", "README")
    found = load(confdir)
    assert [resource.name for resource in found.resources] == ["a", "b", "e", "sub/deep/c"]
    assert not found.faults


def test_several_tables_in_one_file_are_numbered(confdir: Path, write: Write) -> None:
    """And a faulty one does not stop its neighbours."""
    write(
        """\
        [[template]]
        src = "a.j2"
        dest = "/x/1"
        keys = []
        [[template]]
        src = "a.j2"
        dets = "/x/2"
        keys = []
        [[template]]
        src = "a.j2"
        dest = "/x/3"
        keys = []
        """
    )
    found = load(confdir)
    assert [resource.name for resource in found.resources] == ["a", "a#3"]
    assert [resource.origin.line for resource in found.resources] == [1, 9]
    assert faults(confdir) == [
        "conf.d/a.toml:7: unknown key: dets (did you mean dest?)",
        "conf.d/a.toml:5: dest is missing",
    ]


def test_all_faults_of_all_files_come_at_once(confdir: Path, write: Write) -> None:
    """Broken TOML, a folder, a dangling link, a strange table; the good one is still there."""
    write("[template]\n" + GOOD, "good.toml")
    write("[template\n", "bad.toml")
    (confdir / "conf.d" / "dir.toml").mkdir()
    (confdir / "conf.d" / "link.toml").symlink_to("/nowhere")
    write("[tempalte]\nsrc = 1\n", "name.toml")
    write('src = "a.j2"\n', "flat.toml")
    write("", "empty.toml")
    write("template = 3\n", "number.toml")
    found = load(confdir)
    assert [resource.name for resource in found.resources] == ["good"]
    assert faults(confdir) == [
        "conf.d/bad.toml:1: is not valid TOML: Expected ']' at the end of a table declaration, "
        "column 10",
        "conf.d/dir.toml: is a folder, not a file",
        "conf.d/empty.toml: no [template] table",
        "conf.d/flat.toml:1: unknown key or table: src (a resource is a [template] table)",
        "conf.d/link.toml: is a link to /nowhere, which does not exist",
        "conf.d/name.toml:1: unknown key or table: tempalte (did you mean template?)",
        "conf.d/number.toml: no [template] table",
    ]


def test_two_resources_with_one_dest_name_both_places(confdir: Path, write: Write) -> None:
    """Also when the paths are spelt differently or meet behind a link; neither is done."""
    (confdir / "real").mkdir()
    (confdir / "link").symlink_to("real")
    (confdir / "real" / "alias").symlink_to("x")
    table = '[template]\nsrc = "a.j2"\nkeys = []\ndest = "{}"\n'
    write(table.format(confdir / "real" / "x"), "one.toml")
    write(table.format(f"{confdir}/link/./x"), "two.toml")
    write(table.format(confdir / "real" / "alias"), "three.toml")
    write(table.format(confdir / "real" / "y"), "other.toml")
    found = load(confdir)
    assert [resource.name for resource in found.resources] == ["other"]
    assert faults(confdir) == [
        "conf.d/three.toml:1: dest is the same file as that of conf.d/one.toml:1: real/alias "
        "(neither is written)",
        "conf.d/two.toml:1: dest is the same file as that of conf.d/one.toml:1: link/x "
        "(neither is written)",
    ]


def test_nothing_to_do_is_an_error(confdir: Path, write: Write) -> None:
    """No confdir, no conf.d, no file, no good resource."""
    with pytest.raises(ResourceError, match="nowhere: does not exist"):
        load(confdir / "nowhere")
    with pytest.raises(ResourceError, match=r"conf.d: no resource file \(\*.toml\)"):
        load(confdir)
    write("[template]\n")
    with pytest.raises(ResourceError, match="no usable resource"):
        load(confdir)
    os.rename(confdir / "conf.d", confdir / "gone")
    with pytest.raises(ResourceError, match=r"conf.d: does not exist"):
        load(confdir)
    (confdir / "conf.d").touch()
    with pytest.raises(ResourceError, match=r"conf.d: is not a folder"):
        load(confdir)
    (confdir / "conf.d").unlink()
    (confdir / "conf.d").symlink_to("nothing")
    with pytest.raises(ResourceError, match=r"conf.d: is a link to nothing"):
        load(confdir)
    (confdir / "conf.d").unlink()
    (confdir / "conf.d").symlink_to("conf.d")
    with pytest.raises(ResourceError, match=r"conf.d: cannot be read \(Too many levels"):
        load(confdir)


def test_a_template_that_cannot_be_looked_at_is_not_said_to_be_absent(
    confdir: Path, write: Write
) -> None:
    """The system's own reason; a link to itself stands for a folder without permission."""
    (confdir / "templates" / "loop.j2").symlink_to("loop.j2")
    os.mkfifo(confdir / "templates" / "fifo.j2")
    write('[template]\nsrc = "loop.j2"\ndest = "/x/a"\nkeys = []\n')
    with pytest.raises(ResourceError) as caught:
        load(confdir)
    assert "template cannot be read (Too many levels of symbolic links): " in str(
        caught.value.faults[0]
    )
    write('[template]\nsrc = "fifo.j2"\ndest = "/x/a"\nkeys = []\n')
    with pytest.raises(ResourceError) as caught:
        load(confdir)
    assert "template is not a regular file: " in str(caught.value.faults[0])


def test_only_the_named_resources_are_done(confdir: Path, write: Write) -> None:
    """By name, or a whole file; faults of the others do not matter."""
    table = '[[template]]\nsrc = "a.j2"\nkeys = []\ndest = "/x/{}"\n'
    write(table.format(1) + table.format(2), "web.toml")
    write(table.format(3), "db.toml")
    write("[template]\nsrc = 3\n", "broken.toml")

    def names(*argv: str) -> list[str]:
        found = load(confdir, *argv)
        assert not found.faults
        return [resource.name for resource in found.resources]

    assert names("--resource", "web#2") == ["web#2"]
    assert names("--resource", "web.toml") == ["web", "web#2"]
    assert names("--resource", "web", "--resource", "db") == ["db", "web"]
    assert faults(confdir, "--resource", "wbe", "--resource", "x") == [
        "--resource: no resource is called wbe (did you mean web?)",
        "--resource: no resource is called x",
    ]
    assert len(faults(confdir, "--resource", "broken")) == 3


@pytest.mark.parametrize(
    ("key", "instead"), [("/svc/*", "/svc"), ("/a/?b/c", "/a"), ("/*", "/"), ("/x/[ab]", "/x")]
)
def test_a_pattern_in_keys_is_a_fault(confdir: Path, write: Write, key: str, instead: str) -> None:
    """confd takes it for a name, and the file is empty."""
    write(f'[template]\nsrc = "a.j2"\ndest = "/tmp/t"\nkeys = ["{key}"]\n')
    assert f'write "{instead}"' in faults(confdir)[0]


@pytest.mark.parametrize("key", ["check_cmd", "reload_cmd", "confirm_cmd"])
def test_a_path_that_would_become_code_is_a_fault(confdir: Path, write: Write, key: str) -> None:
    """With file and line, and how to write it."""
    lines = f"{key} = \"sh -c 'cat {{{{ src }}}}'\""
    more = 'reload_cmd = "r"' if key == "confirm_cmd" else ""
    write("[template]\n" + GOOD + lines + "\n" + more)
    said = f"{key} has a placeholder in the code of sh"
    assert any(re.match(rf"conf.d/a.toml:[56]: {said}", text) for text in faults(confdir))


@pytest.mark.parametrize("key", ["check_cmd", "reload_cmd", "confirm_cmd"])
@pytest.mark.parametrize(
    ("braces", "meant"),
    [
        ("{{ srcc }}", "src"),
        ("{{.Src}}", "src"),
        ("{{ source }}", "src"),
        ("{{ $src }}", "src"),
        ("{{ src | quote }}", "src"),
        ("{{ src }", "src"),
        ("{{src", "src"),
        ("{src}", "src"),
        ("{{-dst-}}", "dest"),
        ("{{ .DEST }}", "dest"),
        ("{ .dest }", "dest"),
        ("{{ file }}", ""),
        ("{{.name}}", ""),
        ("{{ NAME }}", ""),
        ("{{ }}", ""),
    ],
)
def test_an_unknown_placeholder_is_a_fault(
    confdir: Path, write: Write, key: str, braces: str, meant: str
) -> None:
    """It would reach the shell as it stands, and the check would be about nothing."""
    more = 'reload_cmd = "true"\n' if key == "confirm_cmd" else ""
    write(f'[template]\n{GOOD}{more}{key} = "true {braces} x"\n')
    (fault,) = faults(confdir)
    assert f"{key} has an unknown placeholder: {{" in fault
    assert (f"(did you mean {{{{ {meant} }}}}?)" if meant else "there are {{ src }} and") in fault


@pytest.mark.parametrize(
    "command",
    [
        "docker kill -s HUP $(docker ps -qf name=web --format '{{.Names}}')",
        "kill -HUP $(docker inspect -f '{{.State.Pid}}' web)",
        "kubectl get pod -o go-template='{{range .items}}{{.metadata.name}}{{end}}'",
        "docker inspect -f '{{json .Config}}' web",
        "x=${src}; echo ${dest} $src",
        "awk '{ print $1 }' {{ src }}",
        "cp {{ src }} {{.dest}} && echo {{-src-}}",
    ],
)
def test_braces_of_another_program_are_its_own(confdir: Path, write: Write, command: str) -> None:
    """And do not make the service one of a single file."""
    write(f"[template]\n{GOOD}reload_cmd = {json.dumps(command)}\n")
    resource = only(confdir)
    assert resource.reload is not None
    assert (resource.service_name == command) is ("{{ src }}" not in command)


def test_keys_of_the_environment_have_both_spellings(confdir: Path, write: Write) -> None:
    """XMPP_DOMAIN is /xmpp/domain to confd's templates, whatever the keys call it."""
    write('[template]\nsrc = "a.j2"\ndest = "/tmp/pyconfd-test/a"\nkeys = ["/xmpp_domain", "/a"]\n')
    assert only(confdir, "--backend", "env").keys == ("/xmpp_domain", "/a", "/xmpp/domain")
    assert only(confdir).keys == ("/xmpp_domain", "/a")
    keys = only(confdir, "--backend", "env", "--prefix", "/my_app").keys
    assert keys == ("/xmpp_domain", "/a", "/xmpp/domain")


def test_a_byte_order_mark_is_no_content(confdir: Path, write: Write) -> None:
    """Editors on Windows write one."""
    path = write(f"[template]\n{GOOD}")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert only(confdir).src == "a.j2"
