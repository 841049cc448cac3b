internal import NatterHTTP
internal import NatterCLI
internal import NatterClient
internal import NatterModel

/// What `HOME/config` can say, and what it may be.
enum Setting: String, CaseIterable {
    case caFile = "ca-file"
    case color
    case lang
    case server
    case timeout

    static var names: [String] { allCases.map(\.rawValue) }

    static let timeoutSeconds = 0.1...86_400.0

    /// Why a value can't be; nil if it can.
    func problem(with value: String) -> Phrase? {
        switch self {
        case .caFile: return value.hasPrefix("/") ? nil : "'ca-file' takes a path from the root, not '\(value)'"
        case .color:
            let choices = ColorChoice.allCases.map(\.rawValue)
            return choices.contains(value) ? nil : "'color' takes \(choices.joined(separator: ", ")), not '\(value)'"
        case .lang:
            return Language.isKnown(value, environment: .process)
                ? nil : "'lang' takes \(Language.known.joined(separator: ", ")), not '\(value)'"
        case .server:
            do throws(AddressError) {
                _ = try ServerAddress(url: value)
                return nil
            } catch {
                return "\(error)"
            }
        case .timeout:
            guard Setting.milliseconds(value) == nil else { return nil }
            return "'timeout' takes seconds, 0.1 to 86400, not '\(value)'"
        }
    }

    /// What the setting `lang` says, for `Program`: nil where it says nothing that is known.
    static func language(_ options: GivenOptions, _ environment: Environment) -> String? {
        let home = options.value("home") ?? environment["NATTER_HOME"]
        guard let path = try? home ?? environment.dataHome() + "/natter" else { return nil }
        return try? ClientHome(path: path).value(of: .lang)
    }

    /// Seconds, with or without a fraction, as milliseconds.
    static func milliseconds(_ value: String) -> Int? {
        let isPlain = value.utf8.allSatisfy { $0.isASCIIDigit || $0 == UInt8(ascii: ".") }
        guard isPlain, let seconds = Double(value), timeoutSeconds.contains(seconds) else { return nil }
        return Int((seconds * 1_000).rounded())
    }
}

extension ClientHome {
    /// What the file says of one setting; nil if nothing.
    ///
    /// - Throws: `ConfigError` for a file that has an unknown setting, or a value that this one can't have.
    func value(of setting: Setting) throws -> String? {
        guard let text = try settings() else { return nil }
        let file = try ConfigFile(parsing: text, path: settingsPath, keys: Setting.names)
        guard let entry = file.entries.last(where: { $0.key == setting.rawValue }) else { return nil }
        if let problem = setting.problem(with: entry.value) { throw file.error(entry, problem) }
        return entry.value
    }
}
