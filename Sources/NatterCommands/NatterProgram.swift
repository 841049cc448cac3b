public import NatterCommandLine
internal import NatterClient
internal import NatterSystem
internal import NatterHTTP
internal import NatterModel

/// The program `natter`: its options and its table of commands.
public enum NatterProgram {
    public static let version = Release.version

    public static let spec = ProgramSpec(
        name: "natter", tagline: "chat in append-only logs, synced to your own disk", version: version,
        libraries: {
            Replica.libraries + [Digest.library, Pattern.library] + HTTPClient.libraries + LineEditor.libraries
                + ProgramSpec.runtime
        },
        names: CompletionNames.find, instead: instead(of:), examples: examples,
        guides: guides,
        closing: "Report problems to your server's administrator; 'natter doctor' finds out what to tell.",
        options: globalOptions, commands: commands)

    /// The complete content of `main.swift`.
    public static func main() -> Never {
        Program.main(spec, language: Setting.language)
    }

    static var globalOptions: [OptionSpec] {
        [
            .option("home", value: "DIR", "the directory of profiles and replicas"),
            .option(
                "server", value: "URL", "the server's address, such as http://127.0.0.1:7117",
                long:
                    "Without it, natter uses the profile's address, which 'register' and 'login' remember, the setting of "
                    + "natter-config(1), or else http://127.0.0.1:7117. Over https, natter speaks TLS 1.2 and 1.3 with "
                    + "forward secrecy and authenticated encryption. It sends the profile's token to another address than "
                    + "that of the login only if the server there has the same store."),
            .option(
                "profile", value: "NAME", names: .profiles, "which of several accounts to use",
                long: "The default is 'default'."),
            .option(
                "token-file", value: "F", "use the token in F instead of the profile's",
                long:
                    "F may be a pipe, a descriptor such as /dev/fd/3, or '-' for the first line of standard input. A note says "
                    + "so if other users can read it. Without the option, NATTER_TOKEN_FILE names such a file, or NATTER_TOKEN "
                    + "is the token itself. "
                    + "natter remembers the store that the token belongs to and its server. If the profile is of the same "
                    + "store, or not logged in, the profile's server and its 'ca-file' count. At another address, the token "
                    + "goes only to a server of that store."),
            .option(
                "ca-file", value: "F", "trust only the certificate authorities in F, in PEM",
                long: "Without it, the profile's 'ca-file' counts, and then that of natter-config(1)."),
            .flag(
                "insecure", "allow passwords and tokens over plain HTTP to another host",
                long: "Without it, natter refuses with status 77."),
            .flag(
                "offline", "do not connect; use only the replica",
                long: "A command that needs the server exits with status 69."),
            .option(
                "timeout", value: "S", "seconds to wait for the server (default 30)",
                long: "It takes 0.1 to 86,400, and natter-config(1) can set another default. It limits each wait for "
                    + "progress, not a whole command: a slow exchange may take ten times as long, and a second more for each "
                    + "KiB."),
            .option(
                "lang", value: "LANG", "the language, en or ru (default: from the environment)",
                long: "See LANGUAGE below."),
            Question.option,
            .flag("json", "print one JSON object per line", long: "Errors are objects, too; see natter-formats(5)."),
            .option(
                "color", oneOf: ColorChoice.allCases.map(\.rawValue), "when to print colours",
                long:
                    "'auto' means on a terminal, unless NO_COLOR is set or TERM is unset or 'dumb'. The default is the "
                    + "setting 'color' of the profile, see natter-profile(1), then that of natter-config(1), or else 'auto'."
            ),
            .flag(
                "quiet", short: "q", "print no notes, only results and errors",
                long: "It still says which messages of a history are missing."),
            .flag("verbose", "report each request on standard error"),
        ]
    }

    private static var guides: [ProgramSpec.Guide] {
        [
            ("natter-tutorial(7)", "the first hour, step by step"),
            ("natter-faq(7)", "questions that come up, and answers"),
            ("natter-http(7)", "the HTTP API, for curl and programs"),
            ("natter-formats(5)", "the output and the files of natter"),
            ("natter-log(5)", "the files in which messages are stored"),
            ("natterd(8)", "the server, for those who run one"),
        ]
    }

    private static var examples: [Example] {
        [
            Example("natter register alice", "create an account and log in"),
            Example("natter send Hello, everyone", "write to 'general'"),
            Example("natter log -f", "read it, and what comes"),
            Example("natter pm bob 'Lunch at noon?'", "write to one person"),
            Example("natter ls", "see where there is something new"),
        ]
    }

    /// Words that users of other programs try first.
    @Sendable private static func instead(of word: String) -> String? {
        switch word {
        case "version": "natter --version"
        case "tail", "follow": "natter log -f"
        case "read", "cat", "history", "messages": "natter log"
        case "grep", "find": "natter search"
        case "pull", "fetch", "push", "clone": "natter sync"
        case "channels", "conversations", "rooms": "natter ls"
        case "join": "natter group join"
        case "leave", "part": "natter group leave"
        case "invite": "natter group add"
        case "admin user delete", "admin user remove", "admin user rm": "natter admin user disable"
        case "del", "unsend": "natter delete"
        case "reply": "natter send --re SEQ"
        case "unread": "natter log --unread"
        case "msg", "message", "dm", "write": "natter pm"
        case "who", "names": "natter users"
        case "signup", "adduser": "natter register"
        case "man": "natter help"
        case "server", "daemon": "natter serve"
        case "sessions": "natter session"
        case "profiles": "natter profile"
        case "settings": "natter config"
        case let name where name.hasPrefix("@") && name.utf8.count > 1: "natter pm \(name.dropFirst())"
        default: nil
        }
    }

    static var commands: [CommandSpec] {
        [
            RegisterCommand.spec, LoginCommand.spec, LogoutCommand.spec, WhoamiCommand.spec, PasswdCommand.spec,
            AccountCommand.spec,
            ProfileCommand.spec, SessionCommand.spec, TokenCommand.spec,
            StatusCommand.spec, DoctorCommand.spec,
            SendCommand.spec, SendCommand.personalSpec, ChatCommand.spec, EditCommand.spec, EditCommand.deleteSpec,
            OutboxCommand.spec,
            WrapCommand.spec,
            LogCommand.spec, ShowCommand.spec, GetCommand.spec, SearchCommand.spec, UsersCommand.spec, SyncCommand.spec,
            ListCommand.spec,
            MarkCommand.spec, ExportCommand.spec, VerifyCommand.spec, WatchCommand.spec,
            GroupCommand.spec, ContactCommand.spec, BlockCommand.spec, BlockCommand.undoing,
            ServeCommand.spec, AdminCommand.spec, ConfigCommand.spec,
            .completion(
                program: "natter", group: Group.program,
                names: "Names of users and conversations come from the last sync, without a request."), helpSpec,
            .manual { spec },
        ]
    }

    /// The parser handles this word itself. This row is only for the list of commands.
    private static let helpSpec = CommandSpec(
        "help", "print help for a command, or a guide", group: Group.program,
        options: [.flag("guides", short: "g", "list the guides: a tutorial, questions, formats, the HTTP API")],
        operands: [
            .optional("COMMAND", isRepeating: true, "the command, or a guide: tutorial, faq, formats, http, times")
        ])

    /// The headings of the list of commands.
    enum Group {
        static let account: Phrase = "Account"
        static let writing: Phrase = "Writing"
        static let reading: Phrase = "Reading"
        static let people: Phrase = "People"
        static let program: Phrase = "Server and help"
    }
}
