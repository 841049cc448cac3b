internal import NatterCrypto
public import NatterModel

/// What a message of a later import is.
public enum ImportStanding: Equatable, Sendable {
    case new
    /// An earlier import has brought it, as this message if that is certain.
    case known(Seq?)
    /// An earlier import has brought it with an older text, as this message.
    case edited(Seq)
}

/// The messages of a conversation that earlier imports have brought. Two messages are the same if time, sender and text
/// are; if a conversation has two such, an import leaves out the first two.
///
/// So it does not matter whether a program gives its messages ids, and whether those stay the same. Each message takes two
/// hashes of 16 bytes and a number.
struct KnownMessages {
    private struct Key: Hashable {
        let high: UInt64
        let low: UInt64
    }

    private var counts: [Key: UInt32] = [:]
    /// Messages by time and sender alone, because their texts may have changed; zero if several have the same.
    private var origins: [Key: Seq] = [:]
    /// When a message was last edited.
    private var edits: [Seq: Timestamp] = [:]

    /// - Parameter name: of a conversation, which need not exist.
    init(of name: String, in store: Store) throws(StoreError) {
        let exporter: StoreExporter
        do throws(StoreError) { exporter = try StoreExporter(name, of: store) } catch .noSuchConversation { return }
        while let piece = try exporter.next() {
            // Of damaged messages nobody knows what they were. What is imported once more can be seen.
            guard case .messages(let messages) = piece else { continue }
            messages.forEachImported { seq, time, sender, text, edited in
                if let edited {
                    edits[edited] = max(edits[edited] ?? time, time)
                    return
                }
                counts[KnownMessages.key(time, sender, text), default: 0] &+= 1
                if origins.updateValue(seq, forKey: KnownMessages.origin(time, sender)) != nil {
                    origins[KnownMessages.origin(time, sender)] = .zero
                }
            }
        }
    }

    /// Crosses a message out.
    ///
    /// - Parameter edited: when its text was last changed, if it was.
    mutating func take(time: Timestamp, sender: [UInt8], text: [UInt8], edited: Timestamp?) -> ImportStanding {
        guard !origins.isEmpty, let origin = origins[KnownMessages.origin(time, sender)] else { return .new }
        let certain = origin == .zero ? nil : origin
        let key = text.withUnsafeBytes { KnownMessages.key(time, sender, $0) }
        if let count = counts[key] {
            counts[key] = count > 1 ? count - 1 : nil
            return .known(certain)
        }
        guard let edited else { return .new }
        guard let certain, edits[certain].map({ $0 < edited }) ?? true else { return .known(certain) }
        edits[certain] = edited
        return .edited(certain)
    }

    private static func origin(_ time: Timestamp, _ sender: [UInt8]) -> Key {
        key(time, sender, UnsafeRawBufferPointer(start: nil, count: 0))
    }

    private static func key(_ time: Timestamp, _ sender: [UInt8], _ text: UnsafeRawBufferPointer) -> Key {
        Digest(of: content(time, sender, text)).withUnsafeBytes { digest in
            Key(
                high: digest.loadUnaligned(as: UInt64.self),
                low: digest.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
    }

    /// What makes a message the same as another one.
    static func content(_ time: Timestamp, _ sender: [UInt8], _ text: some Collection<UInt8>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count + sender.count + 16)
        bytes.append(littleEndian: time.milliseconds)
        bytes.append(littleEndian: UInt32(clamping: sender.count))
        bytes += sender
        bytes += text
        return bytes
    }
}
