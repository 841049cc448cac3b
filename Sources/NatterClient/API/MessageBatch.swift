public import NatterModel
public import NatterProtocol

/// Messages of one request. Each has an id, so that sending the remaining ones again is harmless.
public struct MessageBatch: Sendable {
    /// A batch with this many bytes or messages is full. Even if the largest message is then appended, the body is
    /// below 1 MiB.
    static let fullBytes = 256 << 10
    static let fullCount = 1_000

    private struct Item: Sendable {
        let request: SendRequest
        let files: [OutgoingFile]
        /// The caller's number for it: a line of its input, or an entry of the outbox.
        let number: Int64
        /// Its offset in `bytes`.
        let start: Int
    }

    private var bytes: [UInt8] = []
    private var items: [Item] = []
    /// How many items are done.
    private var doneCount = 0

    public init() {}

    /// Appends a message.
    ///
    /// - Parameters:
    ///   - request: must have an id.
    ///   - files: what is uploaded for it. Only the first message of a batch can have any.
    public mutating func append(_ request: SendRequest, files: [OutgoingFile] = [], number: Int64) {
        items.append(Item(request: request, files: files, number: number, start: bytes.count))
        request.write(to: &bytes)
        bytes.append(UInt8(ascii: "\n"))
    }

    /// How many messages remain.
    public var count: Int { items.count - doneCount }
    public var isEmpty: Bool { count == 0 }
    public var isFull: Bool { bytes.count >= MessageBatch.fullBytes || items.count >= MessageBatch.fullCount }
    /// The remaining messages, in order.
    public var requests: [SendRequest] { items.dropFirst(doneCount).map(\.request) }

    public func number(at index: Int) -> Int64? { items.dropFirst(doneCount + index).first?.number }
    public func request(at index: Int) -> SendRequest? { items.dropFirst(doneCount + index).first?.request }
    var firstFiles: [OutgoingFile] { items.dropFirst(doneCount).first?.files ?? [] }

    /// Removes the first messages, which are done.
    public mutating func removeFirst(_ count: Int) {
        doneCount = min(items.count, doneCount + count)
        guard isEmpty else { return }
        bytes.removeAll(keepingCapacity: true)
        items.removeAll(keepingCapacity: true)
        doneCount = 0
    }

    /// The lines of the first remaining messages.
    func lines(_ count: Int) -> [UInt8] {
        let rest = items.dropFirst(doneCount)
        guard let start = rest.first?.start else { return [] }
        return Array(bytes[start..<(rest.dropFirst(count).first?.start ?? bytes.count)])
    }
}

/// The id that natter gives a message if the user does not. It makes a retry harmless.
public enum MessageID {
    /// The id is a UUIDv7: milliseconds, then random bits, so that ids of the same time are neighbours on the server.
    /// It uses no counter on disk, so a copied or restored home never repeats one.
    ///
    /// - SeeAlso: RFC 9562, section 5.7.
    public static func make(at time: Timestamp) -> String {
        var generator = SystemRandomNumberGenerator()
        return text(time: time, random: (generator.next(), generator.next()))
    }

    static func text(time: Timestamp, random: (UInt64, UInt64)) -> String {
        let milliseconds = UInt64(clamping: time.milliseconds) & 0xFFFF_FFFF_FFFF
        let upper = milliseconds << 16 | 0x7000 | random.0 & 0xFFF
        let lower = 0x8000_0000_0000_0000 | random.1 >> 2
        let digits = Hex.encode(upper) + Hex.encode(lower)
        var text = ""
        for (index, digit) in digits.enumerated() {
            if [8, 12, 16, 20].contains(index) { text.append("-") }
            text.append(digit)
        }
        return text
    }
}
