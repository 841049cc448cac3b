internal import NatterLanguage
internal import NatterWire

/// The lines of an answer to a batch, as they come: a message for each that was taken, then perhaps why one was not.
final class BatchAnswers {
    /// Bytes of one line: a message object, whose text may grow sixfold where it has to be escaped.
    private static let lineBytes = 1 << 20

    /// What can't be an answer to this batch.
    struct Malformed: Error {
        let reason: Phrase
    }

    private let expected: Int
    private let onMessage: (ArraySlice<UInt8>) throws -> Void
    private var pending: [UInt8] = []
    /// How many messages the server has, one after the other.
    private(set) var takenCount = 0
    /// Why the next one was not taken; the rest was not tried then.
    private(set) var refusal: APIError.Refusal?

    init(expected: Int, onMessage: @escaping (ArraySlice<UInt8>) throws -> Void) {
        (self.expected, self.onMessage) = (expected, onMessage)
    }

    /// Whether every line has its answer, or one is known to be refused.
    var isComplete: Bool { refusal != nil || takenCount == expected }

    func feed(_ bytes: UnsafeRawBufferPointer) throws {
        pending.append(contentsOf: bytes)
        var start = 0
        while let end = pending[start...].firstIndex(of: UInt8(ascii: "\n")) {
            try take(pending[start..<end])
            start = end + 1
        }
        pending.removeFirst(start)
        if pending.count > BatchAnswers.lineBytes { throw Malformed(reason: "a line of its answer has no end") }
    }

    private func take(_ line: ArraySlice<UInt8>) throws {
        // What follows a refused line was not tried.
        guard refusal == nil else { return }
        guard takenCount < expected else { throw Malformed(reason: "it answers more lines than it was sent") }
        if BatchAnswers.isMessage(line) {
            takenCount += 1
            try onMessage(line)
            return
        }
        guard let body: ErrorBody = try? WireJSON.decode(from: line) else {
            throw Malformed(reason: "a line of its answer is neither a message nor an error")
        }
        refusal = APIError.Refusal(
            body, status: ErrorCode(rawValue: body.error.code)?.status ?? ErrorCode.badRequest.status)
    }

    /// By its first key, since servers write keys in alphabetical order; whatever else comes is looked at closely.
    private static func isMessage(_ line: ArraySlice<UInt8>) -> Bool {
        if line.starts(with: #"{"conversation":"#.utf8), line.last == UInt8(ascii: "}") { return true }
        guard let message: MessageObject = try? WireJSON.decode(from: line) else { return false }
        return message.seq > 0
    }
}
