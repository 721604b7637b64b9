"""
The one table of options: command line, environment, config file, help and documentation. Pure.

CONNECTION and SAYING are shared with the other commands. Fields of a row: name, kind, default,
help, group, word for the value; the rest by name (see config/options.py).
"""

from __future__ import annotations

from pyconfd.config.options import Option
from pyconfd.model.resources import OUTPUT_LIMIT, RENDER_TIMEOUT_S, VALUE_LIMIT
from pyconfd.model.source import LISTING_LIMIT

MODE = "What to do"
FILES = "Folders and this node"
SOURCE = "Where the keys come from"
ETCD = "Connection to etcd"
TIME = "Times (seconds, or 500ms, 10s, 5m)"
SAY = "Logging and metrics"

OWN_CONFDIR, CONFD_CONFDIR = "/etc/pyconfd", "/etc/confd"

LOG_LEVELS = ("debug", "info", "warn", "warning", "error", "fatal", "panic")

# fmt: off
# How the store is reached; `pyconfd register` takes the same ones.
CONNECTION = (
    Option("node", "text", (), "a member of the store, host:port or URL; may be repeated", ETCD,
           "ADDRESS", repeatable=True, aliases=("nodes",), default_text="127.0.0.1:2379"),
    Option("scheme", "text", "http", "for nodes given without one", ETCD,
           choices=("http", "https")),
    Option("srv-domain", "text", "", "find the nodes in the DNS SRV records of this domain", ETCD,
           "DOMAIN"),
    Option("client-ca-keys", "text", "", "CA certificates (PEM); one must have signed the "
           "store's certificate", ETCD, "FILE", aliases=("client-cakeys",)),
    Option("client-cert", "text", "", "our certificate (PEM), together with --client-key", ETCD,
           "FILE"),
    Option("client-key", "text", "", "our private key (PEM), together with --client-cert", ETCD,
           "FILE"),
    Option("tls-server-name", "text", "", "the name the store's certificate carries, if not the "
           "node's", ETCD, "NAME"),
    Option("username", "text", "", "log in as this user", ETCD, "NAME"),
    Option("password", "text", "", "its password; better: --password-file", ETCD, "WORD"),
    Option("password-file", "text", "", "read the password from the first line of a file", ETCD,
           "FILE"),
    Option("serializable", "flag", False, "read from one member without asking the others; the "
           "answer may be old", ETCD),
    Option("refresh-members", "flag", False, "ask the cluster for its members and use them too",
           ETCD),
    Option("dial-timeout", "wait", 5.0, "for reaching one node", ETCD),
    Option("timeout", "wait", 10.0, "for reading the store once, over all nodes", ETCD,
           aliases=("backend-timeout",)),
    Option("listing-limit", "count", LISTING_LIMIT, "most bytes of keys and values to hold in "
           "memory; each key counts 400 more", ETCD, "NUMBER"),
)

# Logging and metrics, the same for every command.
SAYING = (
    Option("log-level", "text", "info", "lowest level that is logged", SAY, choices=LOG_LEVELS),
    Option("log-format", "text", "text", "text for people, json for machines", SAY,
           choices=("text", "json")),
)

# For every command that runs others.
COMMANDS = (
    Option("command-env", "text", (), "a variable that commands, probes and hooks get too; may be "
           "repeated", FILES, "NAME", repeatable=True),
)

OPTIONS = (
    Option("onetime", "flag", False, "bring every file up to date once, then exit", MODE),
    Option("watch", "flag", False, "follow the store and act on every change", MODE),
    Option("interval", "wait", 600.0, "without --watch: read the store this often", MODE),
    Option("noop", "flag", False, "say what would change, write nothing, then exit", MODE),
    Option("diff", "flag", False, "with --noop: show it as a unified diff", MODE),
    Option("detailed-exitcode", "flag", False, "with --noop: exit 3 if something would change",
           MODE),
    Option("revision", "text", "", "with --noop: the store as it was at this revision", MODE, "N",
           in_file=False),
    Option("reload-signal", "text", "", "signal for the command after -- on changes of "
           "resources without a reload_cmd", MODE, "NAME"),
    Option("sync-only", "flag", False, "write files without check_cmd and reload_cmd", MODE),
    Option("keep-stage-file", "flag", False, "keep the staged files", MODE),
    Option("resource", "text", (), "do only this resource; may be repeated", MODE, "NAME",
           repeatable=True),
    Option("fleet", "text", "", "with --watch: publish this node's state in etcd, and take turns "
           "with the others", MODE, "NAME"),
    Option("prefix", "text", "", "put in front of the prefix of every resource", MODE, "PATH"),
    Option("confdir", "text", OWN_CONFDIR, "holds conf.d and templates", FILES, "FOLDER"),
    Option("config-file", "text", "/etc/pyconfd/pyconfd.toml", "settings as TOML", FILES, "FILE",
           in_file=False),
    Option("template-engine", "text", "", "the language of templates whose resources name none",
           FILES, choices=("go", "jinja2"), default_text="found out for each template"),
    Option("compat", "text", "", "the folder is a tree of classic confd or of its fork, and is "
           "read as that program reads it", FILES, choices=("confd", "confd-fork"),
           default_text="confd for /etc/confd, or when called by the name confd"),
    Option("node-name", "text", None, "what templates know as node.name", FILES, "NAME",
           default_text="the host's name"),
    Option("state-dir", "text", None, "keeps what must survive a restart", FILES, "FOLDER",
           default_text="$STATE_DIRECTORY, else /var/lib/pyconfd as root, else "
           "$XDG_STATE_HOME/pyconfd or ~/.local/state/pyconfd"),
    *COMMANDS,
    Option("backend", "text", "etcd", "etcd (also called etcdv3), file, env, or one that a package "
           "adds", SOURCE, "NAME"),
    Option("file", "text", (), "for the file backend: JSON, TOML or YAML, or a folder of files; "
           "may be repeated", SOURCE, "PATH", repeatable=True),
    Option("filter", "text", "*", "for the file backend: the names taken from a folder", SOURCE,
           "PATTERN"),
    *CONNECTION,
    Option("wait-for-store", "wait", 0.0, "with --onetime: try this long to reach the store", TIME),
    Option("hold-min", "duration", 0.0, "for resources that name none: wait until their keys "
           "have been quiet this long", TIME, aliases=("debounce", "batch-interval")),
    Option("resync", "duration", 60.0, "with --watch: compare live files this often; 0 never",
           TIME),
    Option("check-cmd-timeout", "wait", 30.0, "for a check_cmd that names no other", TIME),
    Option("reload-cmd-timeout", "wait", 60.0, "for a reload_cmd that names no other", TIME),
    Option("render-timeout", "wait", RENDER_TIMEOUT_S, "for a render whose resource names no other",
           TIME),
    Option("value-limit", "count", VALUE_LIMIT, "longest value that a resource with a format may "
           "print, in characters", FILES, "NUMBER"),
    Option("output-limit", "count", OUTPUT_LIMIT, "largest output of a template, in bytes", FILES,
           "NUMBER"),
    Option("shutdown-timeout", "duration", 30.0, "how long SIGTERM waits for a running reload",
           TIME),
    Option("metrics-listen", "text", "", "serve the daemon's page /, /metrics (Prometheus), "
           "/health, /livez and /readyz here", SAY, "HOST:PORT"),
    *SAYING,
)

# Tables that the config file alone may hold.
TABLES = (
    Option("vars", "table", {}, "what templates know as vars"),
)
# fmt: on
