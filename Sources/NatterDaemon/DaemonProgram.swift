internal import CJemalloc
internal import Glibc
public import NatterCommandLine
internal import NatterSystem
internal import NatterHTTP
internal import NatterModel
internal import NatterServer
internal import NatterStore

/// The command line of `natterd`. Its `main.swift` only calls `main`.
public enum DaemonProgram {
    public static let version = Release.version

    public static let spec: ProgramSpec = ProgramSpec(
        name: "natterd", tagline: "keep conversations and serve them to natter", version: version,
        libraries: {
            Store.libraries + [Digest.library] + ChatServer.libraries + HTTPClient.libraries
                + ["jemalloc " + String(cString: natter_jemalloc_version()).prefix { $0 != "-" }] + ProgramSpec.runtime
        },
        instead: instead(of:), hasOnePage: true,
        options: [
            .option(
                "data", value: "DIR", "the data directory (NATTERD_DATA; else below the XDG data directory)",
                long:
                    "'serve', 'import', 'restore', 'user add', 'copy --to' and 'tls-self-signed' make it, with mode 0700. "
                    + "Other commands end with status 66 if it holds no store. Without the option and a store below the XDG "
                    + "data directory, root uses /var/lib/natterd if that holds one."),
            .option(
                "store", value: "URI",
                "keep the store in this PostgreSQL database, which several servers may share (NATTERD_STORE)",
                long:
                    "An example is postgresql://db.example.org/natter; it holds no password. The data directory is then a "
                    + "cache of this server. See natter-postgresql(7)."),
            Question.option,
            .flag("json", "print JSON objects, one per line", long: "Errors are objects, too."),
            .flag(
                "quiet", short: "q", "print no notes, only results, warnings and errors",
                long: "Without a terminal, as in cron, a command that succeeds prints none anyway."),
        ],
        commands: [
            .serve, .selfSigned, .status, .clients, .user, .retain, .list, .importing, .export, .erase, .hook, .fsck,
            .backup, .restore,
            .reindex, .copy,
            .completion(program: "natterd", isHidden: true), .manual { spec },
        ])

    /// Words that users of other programs try first.
    @Sendable private static func instead(of word: String) -> String? {
        switch word {
        case "version": "natterd --version"
        case "start", "run", "init", "daemon": "natterd serve"
        case "users": "natterd user list"
        case "conversations", "groups": "natterd ls"
        case "useradd", "adduser": "natterd user add"
        case "passwd": "natterd user passwd"
        case "sessions": "natterd clients"
        case "check", "verify", "repair": "natterd fsck"
        case "dump": "natterd backup"
        case "delete": "natterd erase"
        case "webhook", "hooks": "natterd hook"
        case "user delete", "user del": "natterd user erase"
        case "user remove", "user rm": "natterd user disable"
        case "serve --port", "serve -p": "--listen"
        default: nil
        }
    }

    public static func main() -> Never {
        // All files are private to their owner, including those that SQLite creates.
        umask(0o077)
        Program.main(spec)
    }
}
