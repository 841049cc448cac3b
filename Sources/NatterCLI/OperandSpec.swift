public import NatterLanguage

/// One operand of a command. Optional ones follow those that are required; only the last may repeat.
public struct OperandSpec: Sendable, Equatable {
    /// What stands for it in help and in messages, such as `CONV`.
    public let name: String
    public let isOptional: Bool
    public let isRepeating: Bool
    /// The only words that are taken; empty if any is.
    public let choices: [String]
    /// One line for help: lower case, no full stop.
    public let help: Phrase

    public static func required(
        _ name: String, isRepeating: Bool = false, oneOf choices: [String] = [], _ help: Phrase
    ) -> OperandSpec {
        OperandSpec(name: name, isOptional: false, isRepeating: isRepeating, choices: choices, help: help)
    }

    public static func optional(
        _ name: String, isRepeating: Bool = false, oneOf choices: [String] = [], _ help: Phrase
    ) -> OperandSpec {
        OperandSpec(name: name, isOptional: true, isRepeating: isRepeating, choices: choices, help: help)
    }

    /// What usage lines show: the name, or the choices themselves.
    public var placeholder: String { choices.isEmpty ? name : choices.joined(separator: "|") }
}
