internal import NatterCLI

/// Something that is not as it should be, and what to do about it.
struct Finding: Encodable, Equatable {
    /// Where it was looked for.
    enum Check: String, Encodable {
        case server, clock, certificate, session, files, settings, replica, outbox, index
    }

    var check: Check
    var problem: String
    var remedy: String

    init(_ check: Check, _ problem: String, _ remedy: String) {
        (self.check, self.problem, self.remedy) = (check, problem, remedy)
    }

    /// From an error that may name its remedy behind a semicolon, as ours do.
    ///
    /// - Parameter remedy: where the error names none.
    init(_ check: Check, _ error: any Error, else remedy: String) {
        let message = Explanation.failure(error).message
        self.init(check, message, remedy)
        var separator = message.endIndex
        for index in message.indices where message[index...].hasPrefix("; ") { separator = index }
        guard separator < message.endIndex else { return }
        problem = String(message[..<separator])
        self.remedy = String(message[separator...].dropFirst(2))
    }

    var line: String { "\(problem): \(remedy)" }
}
