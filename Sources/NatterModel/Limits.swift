/// The limits of the public interface, in one place.
public enum Limits {
    /// Characters of a display name.
    public static let displayCharacters = 1...64
    /// Characters of what a group is about.
    public static let topicCharacters = 1...256
    /// The length of a message's text, in bytes of UTF-8.
    public static let textBytes = 1...65_536
    /// The length of a sender's name in bytes, at most. An imported sender is a label of the same length.
    public static let senderBytes = NameRule.maximumBytes
    /// The highest seq: the databases keep 63 bits.
    public static let seqs = Seq(1)...Seq(UInt64(Int64.max) - 1)
    /// The length of a token's label in bytes. 200 bytes are enough for people. A message carries it as `via`.
    public static let labelBytes = 1...200
    /// The length of an idempotency key in bytes. Each byte is printable ASCII.
    public static let keyBytes = 1...64
    /// How long a server keeps ids, at least, in milliseconds.
    public static let idRetentionMilliseconds: Int64 = 30 * 86_400_000
    /// The length of a password in bytes.
    public static let passwordBytes = 8...1_024
    public static var passwordRule: Phrase {
        "a password has \(passwordBytes.lowerBound) to \(passwordBytes.upperBound) bytes"
    }
    /// The most files of one message.
    public static let filesPerMessage = 20
    /// How long a file waits for its message, in milliseconds.
    public static let uploadMilliseconds: Int64 = 86_400_000
    /// Bytes of a request's body that is a message, and of one line where lines are streamed.
    public static let bodyBytes = 1 << 20
    /// Bytes of any other request's body.
    public static let smallBodyBytes = 16 << 10
    /// Messages, users or conversations on one page.
    public static let pageLimit = 1_000
    public static let defaultPage = 100
    /// About how many bytes one page has in JSON. It has at least one message.
    public static let pageBytes = 1 << 20
    /// How long a request may wait for new messages, in seconds.
    public static let waitSeconds = 0...60
    /// The approximate size in bytes of one `sync` answer. A block is never split for it.
    public static let syncBytes = 16 << 20
    /// The approximate size of one `sync` answer in blocks. It is smaller because only a complete answer moves a
    /// cursor, and a client that can read only a few MiB at a time must make progress.
    public static let syncBlockBytes = 4 << 20
    /// How long before its time a message must have been written for the log to keep that.
    public static let writtenEarlierMilliseconds: Int64 = 60_000
    /// How far an imported time may be ahead of the clock.
    public static let importAheadMilliseconds: Int64 = 86_400_000
    /// An imported time before this, the beginning of 1990, is probably in seconds.
    public static let importOldMilliseconds: Int64 = 631_152_000_000
}

/// A key that makes a retry harmless: 1 to 64 printable ASCII bytes, including spaces.
public struct IdempotencyKey: Hashable, Sendable {
    public let text: String

    public init?(_ text: String) {
        guard Limits.keyBytes.contains(text.utf8.count), text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
            return nil
        }
        self.text = text
    }
}

/// Why a message's text is refused.
public enum TextError: FailureConvertible, Equatable {
    case empty
    /// It has nothing but white space.
    case blank
    case tooLong(bytes: Int)
    case containsNul
    /// A deletion has no text.
    case notEmpty

    public var failure: CommandFailure { CommandFailure(.invalidData, code: "bad_text", phrase) }

    public var phrase: Phrase {
        switch self {
        case .empty: "the text is empty"
        case .blank: "the text is blank"
        case .tooLong(let bytes): "the text has \(bytes) bytes; the limit is \(Limits.textBytes.upperBound)"
        case .notEmpty: "a deletion has no text"
        case .containsNul: "the text contains U+0000"
        }
    }

    /// Throws if a user may not send this text.
    public static func check(_ text: String) throws(TextError) {
        let count = text.utf8.count
        if count < Limits.textBytes.lowerBound { throw .empty }
        if count > Limits.textBytes.upperBound { throw .tooLong(bytes: count) }
        // A walk through the bytes of a string takes five times as long as one through a buffer.
        let hasNul = text.utf8.withContiguousStorageIfAvailable { $0.contains(0) } ?? text.utf8.contains(0)
        if hasNul { throw .containsNul }
    }

    /// Throws if nobody means to send this text. A server takes white space, because a program may mean it.
    public static func checkMeant(_ text: String) throws(TextError) {
        try check(text)
        if text.allSatisfy(\.isWhitespace) { throw .blank }
    }
}
