internal import NatterCommandLine
internal import NatterModel
internal import NatterStore
internal import NatterProtocol

/// A damage as commands print it, one per line.
struct DamageReport: Codable, Sendable {
    let file: String
    let offset: UInt64?
    let conversation: String?
    let from: UInt64?
    let to: UInt64?
    let problem: String

    init(_ damage: StoreDamage) {
        (file, offset, conversation) = (damage.file, damage.offset, damage.conversation)
        problem = damage.problem.english
        (from, to) = (damage.range?.lowerBound.rawValue, damage.range?.upperBound.rawValue)
    }

    /// Writes it as one line.
    func write(to output: Output, asJSON: Bool) throws(OutputError) {
        if asJSON { return try output.writeJSON(WireJSON.encode(self)) }
        try output.append { bytes in
            TerminalText.append(escaping: phrase.text, .line, to: &bytes)
            bytes.append(UInt8(ascii: "\n"))
        }
    }

    /// `'logs/…' at byte 4096: messages 17 to 32 of 'general': the checksum of a block differs`.
    var phrase: Phrase {
        let place: Phrase = offset.map { "'\(file)' at byte \($0)" } ?? "'\(file)'"
        // The problem may have come through a socket as a string. Most problems have no values and can be translated
        // even so.
        let problem = Phrase(key: problem)
        guard let from, let to else {
            return conversation.map { "\(place): '\($0)': \(problem)" } ?? "\(place): \(problem)"
        }
        return conversation.map { "\(place): messages \(from) to \(to) of '\($0)': \(problem)" }
            ?? "\(place): messages \(from) to \(to): \(problem)"
    }
}

extension Console {
    /// Names a damage on standard error.
    func note(_ damage: DamageReport) { note(damage.phrase) }

    /// Says on a terminal that a command has succeeded. In cron it is silent.
    ///
    /// - Parameter isNeeded: whether it is to be known without a terminal, too.
    func confirm(_ arguments: Arguments, isNeeded: Bool = false, _ phrase: @autoclosure () -> Phrase) {
        if isNeeded || errors.isTerminal && !arguments.flag("quiet") { note(phrase()) }
    }

    /// Prints a command's result, with `--json` as one JSON object, otherwise as `confirm` does.
    func report(
        _ report: some Encodable, _ arguments: Arguments, isNeeded: Bool = false, _ phrase: @autoclosure () -> Phrase
    ) throws {
        guard arguments.flag("json") else { return confirm(arguments, isNeeded: isNeeded, phrase()) }
        do throws(OutputError) {
            try output.writeJSON(WireJSON.encode(report))
            try output.flush()
        } catch {
            throw error.afterwards
        }
    }
}
