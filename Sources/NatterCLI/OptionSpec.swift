public import NatterLanguage

/// One option of a command or a program: a flag, or a name with a value.
public struct OptionSpec: Sendable, Equatable {
    /// What the program asks for; written `--name`, or `-n` where it is a single letter.
    public let name: String
    /// A second, one-letter spelling.
    public let short: Character?
    /// What stands for the value in help, such as `SEQ`; nil for a flag.
    public let placeholder: String?
    /// The only values that are taken; empty if any is.
    public let choices: [String]
    public let isRepeatable: Bool
    public let isRequired: Bool
    /// One line for help: lower case, no full stop.
    public let help: Phrase

    /// An option without a value.
    public static func flag(_ name: String, short: Character? = nil, _ help: Phrase) -> OptionSpec {
        OptionSpec(
            name: name, short: short, placeholder: nil, choices: [], isRepeatable: false, isRequired: false, help: help)
    }

    /// An option with a value. Given several times the last one counts, and `Arguments.values` has them all.
    public static func option(
        _ name: String, short: Character? = nil, value placeholder: String, isRepeatable: Bool = false,
        isRequired: Bool = false, _ help: Phrase
    ) -> OptionSpec {
        OptionSpec(
            name: name, short: short, placeholder: placeholder, choices: [], isRepeatable: isRepeatable,
            isRequired: isRequired, help: help)
    }

    /// An option whose value is one of a few words.
    public static func option(
        _ name: String, short: Character? = nil, oneOf choices: [String], _ help: Phrase
    ) -> OptionSpec {
        OptionSpec(
            name: name, short: short, placeholder: choices.joined(separator: "|"), choices: choices,
            isRepeatable: false, isRequired: false, help: help)
    }

    /// Every program has these two; they need no row.
    public static let help = OptionSpec.flag("help", "print help, of a command if one is named, and exit")
    public static let version = OptionSpec.flag("version", "print the version and exit")

    public var takesValue: Bool { placeholder != nil }

    /// Each way to write it, the short one first: `["-n", "--limit"]`.
    public var spellings: [String] {
        let own = name.utf8.count == 1 ? "-\(name)" : "--\(name)"
        return if let short { ["-\(short)", own] } else { [own] }
    }

    /// How messages name it: the long spelling if there is one.
    public var spelling: String { name.utf8.count == 1 ? "-\(name)" : "--\(name)" }
}
