public import NatterModel

/// One option of a command or a program: a flag, or a name with a value.
public struct OptionSpec: Sendable, Equatable {
    /// The name that the program looks up. It is written `--name`, or `-n` if it is a single letter.
    public let name: String
    /// A second, one-letter spelling.
    public let short: Character?
    /// The placeholder of the value, such as `SEQ`, or nil for a flag.
    private let valueName: String?
    /// The allowed values. If it is empty, any value is allowed.
    public let choices: [String]
    /// Whether it may be given several times. Of a flag, two are as good as one.
    public let isRepeatable: Bool
    /// The names that completion offers for the value, where its placeholder does not say.
    private var names: WordKind.Names?
    /// One line for help: lower case, no full stop.
    public let help: Phrase
    /// Sentences for the manual, which follow `help` there: what is more than `help` says. `ManualPage` tells the markup.
    public let long: String

    /// An option without a value.
    public static func flag(_ name: String, short: Character? = nil, _ help: Phrase, long: String = "") -> OptionSpec {
        OptionSpec(name: name, short: short, valueName: nil, choices: [], isRepeatable: false, help: help, long: long)
    }

    /// An option with a value. Of a command, only a repeatable one may be given several times, and `Arguments.values` has all of
    /// its values; of one of the program, the last counts.
    public static func option(
        _ name: String, short: Character? = nil, value placeholder: String, isRepeatable: Bool = false,
        names: WordKind.Names? = nil, _ help: Phrase, long: String = ""
    ) -> OptionSpec {
        OptionSpec(
            name: name, short: short, valueName: placeholder, choices: [], isRepeatable: isRepeatable, names: names,
            help: help, long: long)
    }

    /// An option whose value is one of a few words.
    public static func option(
        _ name: String, oneOf choices: [String], _ help: Phrase, long: String = ""
    ) -> OptionSpec {
        OptionSpec(
            name: name, short: nil, valueName: "", choices: choices, isRepeatable: false, help: help, long: long)
    }

    /// The operand CONV as an option.
    static func conversation(isRepeatable: Bool) -> OptionSpec {
        .option(
            "conversation", short: "c", value: OperandSpec.conversationName, isRepeatable: isRepeatable,
            "the same as the operand CONV", long: "Giving both is an error unless they are equal.")
    }

    /// Every program has these two, without a row in its table.
    public static let help = OptionSpec.flag("help", short: "h", "print help, for a command if you name one, and exit")
    public static let version = OptionSpec.flag(
        "version", short: "V", "print the version and exit", long: "The libraries inside have a line each.")

    public var takesValue: Bool { valueName != nil }

    /// The placeholder of the value in help, or nil for a flag. Each command makes its options, but few print help.
    public var placeholder: String? { choices.isEmpty ? valueName : choices.joined(separator: "|") }

    /// All spellings, the short one first: `["-n", "--limit"]`.
    public var spellings: [String] { if let short { ["-\(short)", spelling] } else { [spelling] } }

    /// The spelling in messages: the long one if there is one.
    public var spelling: String { name.utf8.count == 1 ? "-\(name)" : "--\(name)" }

    /// `[-n N]`.
    public var usage: String {
        let spelling = spellings.first ?? self.spelling
        let whole = placeholder.map { "\(spelling) \($0)" } ?? spelling
        return "[\(whole)]" + (isRepeatable ? "..." : "")
    }

    var kind: WordKind { names.map { .names($0) } ?? WordKind(placeholder ?? "", choices: choices) }
}

/// One operand of a command. Optional operands follow the required ones, except that the first may be an optional CONV.
/// Only the last may repeat.
public struct OperandSpec: Sendable, Equatable {
    static let conversationName = "CONV"

    /// The placeholder in help and in messages, such as `CONV`.
    public let name: String
    public let isOptional: Bool
    public let isRepeating: Bool
    /// The allowed words. If it is empty, any word is allowed.
    public let choices: [String]
    /// The names that completion offers, where the placeholder does not say.
    private var names: WordKind.Names?
    /// One line for help: lower case, no full stop.
    public let help: Phrase

    public static func required(
        _ name: String, isRepeating: Bool = false, oneOf choices: [String] = [], names: WordKind.Names? = nil,
        _ help: Phrase
    ) -> OperandSpec {
        OperandSpec(name: name, isOptional: false, isRepeating: isRepeating, choices: choices, names: names, help: help)
    }

    public static func optional(
        _ name: String, isRepeating: Bool = false, names: WordKind.Names? = nil, _ help: Phrase
    ) -> OperandSpec {
        OperandSpec(name: name, isOptional: true, isRepeating: isRepeating, choices: [], names: names, help: help)
    }

    /// The text in usage lines: the name, or the choices themselves.
    public var placeholder: String { choices.isEmpty ? name : choices.joined(separator: "|") }

    var kind: WordKind { names.map { .names($0) } ?? WordKind(name, choices: choices) }
}

/// The kind of word that a placeholder of the table stands for, for completion.
public enum WordKind: Equatable, Sendable {
    /// Free text, which cannot be completed.
    case text
    case file
    case directory
    /// The name of a program.
    case command
    case oneOf([String])
    /// Names that the program knows.
    case names(Names)

    public enum Names: String, Sendable {
        case users, conversations, groups, profiles, settings, watches
    }

    init(_ placeholder: String, choices: [String]) {
        guard choices.isEmpty else {
            self = .oneOf(choices)
            return
        }
        self =
            switch placeholder {
            case "F", "FILE": .file
            case "DIR", "SRC", "DEST": .directory
            case "CMD": .command
            case "USER": .names(.users)
            case "CONV": .names(.conversations)
            case "GROUP": .names(.groups)
            // It takes more, such as 'ru_RU.UTF-8'.
            case "LANG": .oneOf(Language.known)
            default: .text
            }
    }
}
