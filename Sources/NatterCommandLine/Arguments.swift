public import NatterModel

/// An option on the command line. The value of a flag is empty. This is not a tuple, because the metadata of an array
/// of tuples is built when the program runs.
struct GivenOption: Sendable {
    let name: String
    let value: String
}

/// The options of a command line whose command is not known yet.
public struct GivenOptions: Sendable {
    private let given: [GivenOption]

    init(_ given: [GivenOption]) { self.given = given }

    /// The last value, or nil if the option is missing.
    public func value(_ name: String) -> String? { given.last { $0.name == name }?.value }
}

/// The options and operands of a command, checked against its row of the table.
public struct Arguments: Sendable {
    /// The command's words, such as `["outbox", "ls"]`.
    public let path: [String]
    /// The operands in the order of the command line. Their number is one that the row allows.
    public internal(set) var operands: [String]
    /// The operands that are not UTF-8, by their index, each ended by 0. Only a command that runs another program has any.
    public internal(set) var bytes: [Int: [CChar]] = [:]
    /// How many operands stood before `--`, or nil if there was none.
    var literalFrom: Int?
    private let program: String
    /// The options of this command, then those of the program.
    public let known: [OptionSpec]
    private(set) var given: [GivenOption]
    private let rows: [OperandSpec]

    init(
        program: String, path: [String], known: [OptionSpec], rows: [OperandSpec], given: [GivenOption],
        operands: [String]
    ) {
        (self.program, self.path, self.known, self.rows) = (program, path, known, rows)
        (self.given, self.operands) = (given, operands)
    }

    /// `see 'natter help log'`. Computed only for an error, so that success costs nothing.
    public var remedy: Phrase { "see '\(program) help \(path.joined(separator: " "))'" }

    /// True if a flag was given.
    public func flag(_ name: String) -> Bool { has(name) }

    /// True if an option was given, with or without a value.
    public func has(_ name: String) -> Bool {
        assertKnown(name)
        return given.contains { $0.name == name }
    }

    /// The value of an option. If it was given more than once, the last one.
    public func value(_ name: String) -> String? {
        assertKnown(name)
        return given.last { $0.name == name }?.value
    }

    /// All values of an option that may be repeated, in the order given.
    public func values(_ name: String) -> [String] {
        assertKnown(name)
        return given.filter { $0.name == name }.map(\.value)
    }

    /// True if `--` precedes the operand at an index, so that it means nothing but itself.
    public func isLiteral(at index: Int) -> Bool { literalFrom.map { index >= $0 } ?? false }

    /// An operand by its name in the table, such as `CONV`, or nil if it is missing. For a repeating operand, it is the
    /// first word.
    public func operand(_ name: String) -> String? { operands(name).first }

    /// The word of an operand without which the parser refuses the command line.
    public func required(_ name: String) -> String { operand(name) ?? "" }

    /// All words of a repeating operand.
    public func operands(_ name: String) -> [String] {
        guard let index = rows.firstIndex(where: { $0.name == name }) else {
            assertionFailure("no operand '\(name)'")
            return []
        }
        return Array(operands.dropFirst(index))
    }

    /// A usage error that refers to this command's help.
    public func error(_ message: Phrase) -> UsageError {
        var error = UsageError(message, remedy: remedy)
        error.asksForJSON = asksForJSON
        return error
    }

    /// True if `--json` was given.
    var asksForJSON: Bool { given.contains { $0.name == "json" } }

    private func assertKnown(_ name: String) {
        assert(known.contains { $0.name == name }, "no option '\(name)' in the row of '\(path)'")
    }
}

extension Arguments {
    /// A whole number.
    ///
    /// - Throws: for anything else, or a number outside `range`.
    public func integer(_ name: String, in range: ClosedRange<Int64> = 0...(.max)) throws(UsageError) -> Int64? {
        guard let text = value(name) else { return nil }
        return try integer(text, of: "\(spelling(name))", in: range)
    }

    /// Parses a whole number from an operand. `what` is its name in the message.
    public func integer(_ text: String, of what: Phrase, in range: ClosedRange<Int64>) throws(UsageError) -> Int64 {
        // Int64 also accepts "+5", which nobody means.
        guard let number = Int64(text), !text.hasPrefix("+") else {
            throw error("\(what) takes a whole number, not '\(text)'")
        }
        guard range.contains(number) else {
            let limits: Phrase =
                range.upperBound == .max ? "\(range.lowerBound) or more" : "\(range.lowerBound) to \(range.upperBound)"
            throw error("\(what) takes \(limits), not '\(text)'")
        }
        return number
    }

    /// Whether a word is a number of a message, or a range of them, where a conversation's name may stand, too.
    static func isSeq(_ word: String) -> Bool {
        word == "last"
            || word.utf8.contains(where: \.isASCIIDigit)
                && word.utf8.allSatisfy { $0.isASCIIDigit || $0 == UInt8(ascii: "-") }
    }

    /// Parses an operand SEQ: the number of a message, or two with a hyphen between them.
    public func seqs(_ text: String) throws -> ClosedRange<UInt64> {
        func number(_ part: some StringProtocol) throws -> UInt64 {
            UInt64(try integer(String(part), of: "SEQ", in: 1...Int64.max))
        }
        let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count > 1 else { return try number(text)...number(text) }
        let ends = parts.compactMap { try? number($0) }
        guard ends.count == parts.count, ends[0] <= ends[1] else {
            throw error("SEQ takes a range from low to high, not '\(text)'")
        }
        return ends[0]...ends[1]
    }

    /// A number of seconds, with or without a fraction, converted to milliseconds.
    public func seconds(_ name: String, in range: ClosedRange<Double>) throws(UsageError) -> Int64? {
        guard let text = value(name) else { return nil }
        guard let milliseconds = TimeSpan.milliseconds(ofSeconds: text, in: range) else {
            let limits: Phrase = "\(Self.plain(range.lowerBound)) to \(Self.plain(range.upperBound))"
            throw error("\(spelling(name)) takes seconds, \(limits), not '\(text)'")
        }
        return milliseconds
    }

    /// A moment. See `TimeExpression`.
    public func time(_ name: String, now: Timestamp) throws(UsageError) -> Timestamp? {
        guard let text = value(name) else { return nil }
        guard let time = TimeExpression.parse(text, now: now) else {
            throw error("\(spelling(name)) takes a time, not '\(text)': \(TimeExpression.forms)")
        }
        return time
    }

    /// Adds the options of a settings file whose keys are option names. The value of a flag is `true` or `false`. The
    /// command line has precedence.
    ///
    /// - Throws: for a key that is not an option of this command, or a value that the option does not allow.
    public func filled(from file: ConfigFile) throws(ConfigError) -> Arguments {
        let settings = known.filter { $0 != .help && $0 != .version }
        var filled = self
        for entry in file.entries {
            guard let option = settings.first(where: { $0.name == entry.key }) else {
                throw file.unknownKey(entry, known: settings.map(\.name))
            }
            if given.contains(where: { $0.name == option.name }) { continue }
            if option.takesValue {
                guard option.choices.isEmpty || option.choices.contains(entry.value) else {
                    throw file.error(
                        entry, "'\(entry.key)' takes \(option.choices.joined(separator: ", ")), not '\(entry.value)'")
                }
                filled.given.append(GivenOption(name: option.name, value: entry.value))
            } else if try file.boolean(entry) {
                filled.given.append(GivenOption(name: option.name, value: ""))
            } else {
                filled.given.removeAll { $0.name == option.name }
            }
        }
        return filled
    }

    private func spelling(_ name: String) -> String {
        known.first { $0.name == name }?.spelling ?? name
    }

    private static func plain(_ number: Double) -> String {
        number == number.rounded() && abs(number) < 1e15 ? "\(Int64(number))" : "\(number)"
    }
}
