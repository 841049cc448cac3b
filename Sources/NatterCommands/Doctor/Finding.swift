internal import NatterCLI

/// Something that is not as it should be, and what to do about it.
struct Finding: Encodable, Equatable {
    /// Where it was looked for.
    enum Check: String, Encodable {
        case server, clock, certificate, session, files, settings, replica, outbox, index
    }

    private enum Words: Equatable {
        case said(problem: Phrase, remedy: Phrase)
        /// An error names its remedy behind its last semicolon, if it does.
        case error(Phrase, otherwise: Phrase)
    }

    let check: Check
    private let words: Words

    init(_ check: Check, _ problem: Phrase, _ remedy: Phrase) {
        (self.check, words) = (check, .said(problem: problem, remedy: remedy))
    }

    /// From an error that may name its remedy, as ours do.
    ///
    /// - Parameter remedy: where the error names none.
    init(_ check: Check, _ error: any Error, else remedy: Phrase) {
        (self.check, words) = (check, .error(Explanation.failure(error).message, otherwise: remedy))
    }

    /// In a person's language.
    var line: String {
        let (problem, remedy) = parts(\.text)
        return "\(problem): \(remedy)"
    }

    private func parts(_ language: (Phrase) -> String) -> (problem: String, remedy: String) {
        switch words {
        case .said(let problem, let remedy): return (language(problem), language(remedy))
        case .error(let error, let otherwise):
            let message = language(error)
            var separator = message.endIndex
            for index in message.indices where message[index...].hasPrefix("; ") { separator = index }
            guard separator < message.endIndex else { return (message, language(otherwise)) }
            return (String(message[..<separator]), String(message[separator...].dropFirst(2)))
        }
    }

    private enum CodingKeys: String, CodingKey {
        case check, problem, remedy
    }

    func encode(to encoder: any Encoder) throws {
        let (problem, remedy) = parts(\.english)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(check, forKey: .check)
        try container.encode(problem, forKey: .problem)
        try container.encode(remedy, forKey: .remedy)
    }
}
