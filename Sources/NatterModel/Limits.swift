public import NatterLanguage

/// The limits of the public interface, in one place.
public enum Limits {
    /// Bytes of UTF-8 in a message's text.
    public static let textBytes = 1...65_536
    /// Bytes in an idempotency key, each printable ASCII.
    public static let keyBytes = 1...64
    /// Bytes in a password.
    public static let passwordBytes = 8...1_024
    /// Bytes of a request's body, and of one line where lines are streamed.
    public static let bodyBytes = 1 << 20
    /// Messages, users or conversations on one page.
    public static let pageLimit = 1_000
    public static let defaultPage = 100
    /// Seconds that a request may wait for new messages.
    public static let waitSeconds = 0...60
    /// Approximate bytes of one answer of `sync`; a block is never split for it.
    public static let syncBytes = 16 << 20
    /// The same for a client that asks for blocks. It is smaller because only a complete answer moves a cursor, and a client
    /// that reads a few MiB at a time must make progress.
    public static let syncBlockBytes = 4 << 20
    /// How far an imported time may lie ahead of the clock.
    public static let importAheadMilliseconds: Int64 = 86_400_000
}

/// A key that makes a repeated send harmless: 1 to 64 printable ASCII bytes, including spaces.
public struct IdempotencyKey: Hashable, Sendable {
    public let text: String

    public init?(_ text: String) {
        guard Limits.keyBytes.contains(text.utf8.count), text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
            return nil
        }
        self.text = text
    }
}

/// What is wrong with a message's text.
public enum TextError: Error, Equatable, PhraseConvertible {
    case empty
    case tooLong(bytes: Int)
    case containsNul

    public var phrase: Phrase {
        switch self {
        case .empty: "the text is empty"
        case .tooLong(let bytes): "the text has \(bytes) bytes; the limit is \(Limits.textBytes.upperBound)"
        case .containsNul: "the text contains U+0000"
        }
    }

    /// Throws unless a user may send this text.
    public static func check(_ text: String) throws(TextError) {
        let count = text.utf8.count
        if count < Limits.textBytes.lowerBound { throw .empty }
        if count > Limits.textBytes.upperBound { throw .tooLong(bytes: count) }
        if text.utf8.contains(0) { throw .containsNul }
    }
}
