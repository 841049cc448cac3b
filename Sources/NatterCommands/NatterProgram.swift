public import NatterCLI
internal import NatterModel

/// The program `natter`: its options, its table of commands, and what its failures mean.
public enum NatterProgram {
    public static let version = Release.version

    public static let spec = ProgramSpec(
        name: "natter", tagline: "messages in append-only logs, pulled into a copy of your own", version: version,
        options: globalOptions, commands: commands)

    /// All of `main.swift`.
    public static func main() -> Never { Program.main(spec, language: Setting.language, explain: Explanation.failure) }

    static var globalOptions: [OptionSpec] {
        [
            .option("home", value: "DIR", "where profiles and replicas lie"),
            .option("server", value: "URL", "the server's address, such as http://127.0.0.1:7117"),
            .option("profile", value: "NAME", "which of several accounts to use"),
            .option("token-file", value: "F", "use the token in F in place of the profile's"),
            .option("ca-file", value: "F", "trust only the authorities in F, in PEM"),
            .flag("insecure", "let secrets go over plain HTTP to another host"),
            .flag("offline", "open no connection; the replica must do"),
            .option("timeout", value: "S", "seconds to wait for the server, 30 unless given"),
            .option("lang", value: "CODE", "the language to speak: en or ru; else that of the environment"),
            .flag("json", "print one JSON object a line"),
            .option("color", oneOf: ["auto", "always", "never"], "when to print colours"),
            .flag("quiet", "print no notes, only what was asked for and errors"),
            .flag("verbose", "tell about each request on standard error"),
        ]
    }

    static var commands: [CommandSpec] {
        [
            RegisterCommand.spec, LoginCommand.spec, LogoutCommand.spec, WhoamiCommand.spec, PasswdCommand.spec,
            TokenCommand.spec,
            StatusCommand.spec, DoctorCommand.spec,
            SendCommand.spec, SendCommand.personalSpec, OutboxCommand.spec, WrapCommand.spec,
            LogCommand.spec, SearchCommand.spec, UsersCommand.spec, SyncCommand.spec, ListCommand.spec,
            MarkCommand.spec, ExportCommand.spec, VerifyCommand.spec, WatchCommand.spec,
            GroupCommand.spec, ContactCommand.spec, BlockCommand.spec, BlockCommand.undoing,
            ServeCommand.spec, AdminCommand.spec, ConfigCommand.spec, CompletionCommand.spec, helpSpec,
            NamesCommand.spec,
        ]
    }

    /// The parser knows the word by itself; the row is for the list of commands.
    private static let helpSpec = CommandSpec(
        "help", "tell about a command", group: Group.program,
        operands: [.optional("COMMAND", isRepeating: true, "the command to tell about")])

    /// The headings of the list of commands.
    enum Group {
        static let account: Phrase = "Account"
        static let writing: Phrase = "Writing"
        static let reading: Phrase = "Reading"
        static let people: Phrase = "People"
        static let program: Phrase = "Server and help"
    }
}
