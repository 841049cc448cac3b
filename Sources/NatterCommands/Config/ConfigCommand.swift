internal import NatterCommandLine
internal import NatterClient
internal import NatterHTTP
internal import NatterModel

/// `config get|set`: the settings of a home directory.
enum ConfigCommand {
    static let spec = CommandSpec(
        "config", "print or change settings", group: NatterProgram.Group.program, bare: "get",
        subcommands: [getSpec, setSpec],
        description: [
            "Settings are in the file 'config' of the home directory, one 'key = value' per line. Options override "
                + "environment variables, and those override settings, other than color and lang, which override the "
                + "environment.",
            "color: auto, always or never, like --color. lang: the language, en or ru, like --lang. numbers: 'on' to "
                + "show the number of each message on a terminal, like 'log --numbers'. server: the "
                + "address for profiles that have none yet; a session keeps its own. retention: 'follow' to drop what the "
                + "server does not keep any more, 'keep' to keep what was synced (default). timeout: seconds to wait for "
                + "the server, like --timeout. ca-file: certificate authorities to trust, like --ca-file.",
        ])

    private static let getSpec = CommandSpec(
        "get", aliases: ["ls"], "print settings",
        operands: [
            .optional(
                "KEY", names: .settings, "one of \(Setting.names.joined(separator: ", ")) (default: all that are set)")
        ],
        description: [
            "Print the value of KEY, or all settings as 'key = value'. If KEY is not set, the exit status is 1."
        ],
        examples: [Example("natter config get", "print all settings")],
        run: inContext(get))

    private static let setSpec = CommandSpec(
        "set", "change a setting",
        operands: [
            .required("KEY", names: .settings, "one of \(Setting.names.joined(separator: ", "))"),
            .required("VALUE", "the value; an empty one removes the setting"),
        ],
        examples: [Example("natter config set timeout 5", "wait at most 5 seconds for the server")],
        run: inContext(set))

    private struct Value: Encodable {
        var key: String
        var value: String
    }

    private static func get(_ context: Context) throws -> ExitCode {
        let wanted = try context.arguments.operand("KEY").map { try setting($0, context) }
        let file = try context.home().settingsFile()
        var isFound = false
        for setting in Setting.allCases where wanted == nil || wanted == setting {
            guard let value = file.value(setting.rawValue) else { continue }
            isFound = true
            if try context.writeJSON(Value(key: setting.rawValue, value: value)) { continue }
            let shown = TerminalText.escaped(value)
            try context.console.output.writeLine(wanted == nil ? "\(setting.rawValue) = \(shown)" : shown)
        }
        return isFound || wanted == nil ? .success : .nothingFound
    }

    private static func set(_ context: Context) throws -> ExitCode {
        let setting = try setting(context.arguments.required("KEY"), context)
        let value = context.arguments.required("VALUE")
        if !value.isEmpty { try setting.checkNew(value) }
        // Another line that is broken would keep natter from reading this one.
        _ = try context.home().settingsFile()
        try context.home().changeSettings {
            ConfigFile.text($0, setting: setting.rawValue, to: value.isEmpty ? nil : value)
        }
        return .success
    }

    private static func setting(_ name: String, _ context: Context) throws -> Setting {
        if let setting = Setting(rawValue: name) { return setting }
        throw context.arguments.error(
            "'\(name)' is not a setting\(NearestWords.hint(for: name, among: Setting.names))")
    }
}

/// The settings in `HOME/config` and their allowed values.
enum Setting: String, CaseIterable {
    case caFile = "ca-file"
    case color
    case lang
    case numbers
    case retention
    case server
    case timeout

    static var names: [String] { allCases.map(\.rawValue) }

    /// How a replica treats messages that the server does not keep any more.
    private static let retentions = [followingRetention, "keep"]
    static let followingRetention = "follow"

    static let timeoutSeconds = 0.1...86_400.0

    /// The value in a file, or nil if it is not set.
    ///
    /// - Throws: `ConfigError` for an invalid value.
    func value(in file: ConfigFile) throws -> String? {
        guard let entry = file.entries.last(where: { $0.key == rawValue }) else { return nil }
        if let bad = failure(of: entry.value) { throw file.error(entry, bad.problem, remedy: bad.remedy) }
        return entry.value
    }

    /// Paths have no more, so one long value can't make a file that natter does not read any more.
    private static let limitBytes = 4_095

    /// Checks a value before it is stored in a line of a file.
    ///
    /// - Throws: 65 if it is invalid, or would be read back differently.
    func checkNew(_ value: String) throws(CommandFailure) {
        let isTrimmed = value.first != " " && value.last != " "
        if value.utf8.count > Setting.limitBytes {
            throw Setting.bad("the value of '\(rawValue)' is longer than \(Setting.limitBytes) bytes")
        }
        if value.hasControlCharacter || !isTrimmed {
            throw Setting.bad(
                "the value of '\(rawValue)' has a control character, or a space at its beginning or end")
        }
        guard ConfigFile.canHold(value) else {
            throw Setting.bad("the value of '\(rawValue)' has a '\"' that the file can't hold")
        }
        if let failure = failure(of: value) { throw failure }
    }

    private static func bad(_ problem: Phrase, remedy: Phrase? = nil) -> CommandFailure {
        CommandFailure(.invalidData, code: "bad_value", problem, remedy: remedy)
    }

    /// Why a value is invalid, or nil if it is valid.
    func failure(of value: String) -> CommandFailure? {
        func unless(_ isValid: Bool, _ problem: Phrase) -> CommandFailure? { isValid ? nil : Setting.bad(problem) }
        switch self {
        case .caFile: return unless(value.hasPrefix("/"), "'ca-file' takes an absolute path, not '\(value)'")
        case .color:
            let choices = ColorChoice.allCases.map(\.rawValue)
            return unless(
                choices.contains(value), "'color' takes \(choices.joined(separator: ", ")), not '\(value)'")
        case .lang:
            return unless(
                Language.isKnown(value, environment: .process),
                "'lang' takes \(Language.known.joined(separator: ", ")), not '\(value)'")
        case .numbers: return unless(["on", "off"].contains(value), "'numbers' takes on, off, not '\(value)'")
        case .retention:
            return unless(
                Setting.retentions.contains(value),
                "'retention' takes \(Setting.retentions.joined(separator: ", ")), not '\(value)'")
        case .server:
            do throws(AddressError) { _ = try ServerAddress(url: value) } catch {
                return Setting.bad(error.failure.problem, remedy: error.failure.remedy)
            }
            return nil
        case .timeout:
            return unless(
                Setting.milliseconds(value) != nil, "'timeout' takes seconds, 0.1 to 86400, not '\(value)'")
        }
    }

    /// The setting `lang` for `Program`, or nil if it is missing or unknown.
    static func language(_ options: GivenOptions, _ environment: Environment) -> String? {
        guard let home = try? Context.home(options.value("home"), environment) else { return nil }
        let profile = options.value("profile") ?? environment["NATTER_PROFILE"] ?? Profile.defaultName
        let own = try? home.profile(profile).account()?.settings["lang"]
        return (own ?? nil) ?? (try? Setting.lang.value(in: home.settingsFile()))
    }

    static func milliseconds(_ value: String) -> Int64? { TimeSpan.milliseconds(ofSeconds: value, in: timeoutSeconds) }
}

extension ClientHome {
    /// The settings of the file, none if it is missing.
    ///
    /// - Throws: `ConfigError` for an unknown setting.
    func settingsFile() throws -> ConfigFile {
        try ConfigFile(parsing: try settings() ?? "", path: settingsPath, keys: Setting.names)
    }
}
