internal import Glibc
public import NatterCLI
internal import NatterModel

/// `natterd`: its command line, and all of its `main.swift`.
public enum DaemonProgram {
    public static let version = Release.version

    public static let spec = ProgramSpec(
        name: "natterd", tagline: "keep conversations and serve them to natter", version: version,
        options: [
            .option("data", value: "DIR", "the data directory (NATTERD_DATA; else below the XDG data directory)")
        ],
        commands: [
            .serve, .selfSigned, .status, .clients, .user, .importing, .export, .fsck, .backup, .restore, .reindex,
            .completion(program: "natterd", isHidden: true) { completion },
        ])

    /// Completion offers no names of users or conversations: whoever types the commands may not know them.
    private static var completion: Completion {
        Completion(spec) { _, placeholder in ["SRC", "DEST"].contains(placeholder) ? .directory : .usual(placeholder) }
    }

    public static func main() -> Never {
        // All files are private to their owner, those of SQLite included.
        umask(0o077)
        Program.main(spec, explain: DaemonFailure.explain)
    }
}
