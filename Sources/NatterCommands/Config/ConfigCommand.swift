internal import NatterCLI
internal import NatterClient
internal import NatterWire

/// `config get|set`: what holds for all commands of a home.
enum ConfigCommand {
    static let spec = CommandSpec(
        "config", "tell or change settings", group: NatterProgram.Group.program,
        subcommands: [getSpec, setSpec],
        description: [
            "The settings lie in the file 'config' of the home, one 'key = value' a line. An option counts more than a "
                + "variable of the environment, and that more than a setting.",
            "color: auto, always or never, as --color. lang: the language to speak, en or ru, as --lang. server: the "
                + "address to use where the profile has none yet; a session goes on with its own. timeout: seconds to wait "
                + "for the server, as --timeout.",
        ])

    private static let getSpec = CommandSpec(
        "get", "print settings",
        operands: [
            .optional("KEY", "which one: \(Setting.names.joined(separator: ", ")); all that are set unless given")
        ],
        description: [
            "Prints the value of KEY, or each setting as 'key = value'. The status is 1 where KEY is not set."
        ],
        examples: [Example("natter config get", "all that is set")],
        run: { arguments, console in try get(Context(arguments, console)) })

    private static let setSpec = CommandSpec(
        "set", "change a setting",
        operands: [
            .required("KEY", "which one: \(Setting.names.joined(separator: ", "))"),
            .required("VALUE", "its value; an empty one removes the setting"),
        ],
        examples: [Example("natter config set timeout 5", "wait for the server 5 seconds at most")],
        run: { arguments, console in try set(Context(arguments, console)) })

    private struct Value: Encodable {
        var key: String
        var value: String
    }

    private static func get(_ context: Context) throws -> ExitCode {
        let wanted = try context.arguments.operand("KEY").map { try setting($0, context) }
        let home = try context.home()
        let file = try ConfigFile(
            parsing: try home.settings() ?? "", path: home.settingsPath, keys: Setting.names)
        let output = context.console.output
        var isFound = false
        for setting in Setting.allCases where wanted == nil || wanted == setting {
            guard let value = file.value(setting.rawValue) else { continue }
            isFound = true
            if context.wantsJSON {
                try output.writeJSON(WireJSON.encode(Value(key: setting.rawValue, value: value)))
            } else {
                let shown = TerminalText.escaped(value)
                try output.writeLine(wanted == nil ? "\(setting.rawValue) = \(shown)" : shown)
            }
        }
        return isFound || wanted == nil ? .success : .nothingFound
    }

    private static func set(_ context: Context) throws -> ExitCode {
        let setting = try setting(context.arguments.operand("KEY") ?? "", context)
        let value = context.arguments.operand("VALUE") ?? ""
        if !value.isEmpty, let problem = setting.problem(with: value) {
            throw CommandFailure(.invalidData, code: "bad_value", problem)
        }
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
