internal import NatterCrypto
internal import NatterModel

/// The messages of a conversation that earlier imports have brought. Two messages are the same if time, sender and text
/// are; if a conversation has two such, an import leaves out the first two.
///
/// So it does not matter whether a program gives its messages ids, and whether those stay the same. Each message takes two
/// hashes of 16 bytes.
struct KnownMessages {
    private struct Key: Hashable {
        let high: UInt64
        let low: UInt64
    }

    private var counts: [Key: UInt32] = [:]
    /// Times and senders alone, for messages whose text has changed.
    private var origins: Set<Key> = []

    /// - Parameter name: of a conversation, which need not exist.
    init(of name: String, in store: Store) throws(StoreError) {
        let exporter: StoreExporter
        do throws(StoreError) { exporter = try StoreExporter(name, of: store) } catch .noSuchConversation { return }
        while let piece = try exporter.next() {
            // Of damaged messages nobody knows what they were. What is imported once more can be seen.
            guard case .messages(let messages) = piece else { continue }
            messages.forEachImported { time, sender, text in
                counts[KnownMessages.key(time, sender, text), default: 0] &+= 1
                origins.insert(KnownMessages.key(time, sender, UnsafeRawBufferPointer(start: nil, count: 0)))
            }
        }
    }

    /// Crosses a message out.
    ///
    /// - Parameter wasEdited: whether another text counts as the same message.
    /// - Returns: whether it was there.
    mutating func take(time: Timestamp, sender: [UInt8], text: [UInt8], wasEdited: Bool) -> Bool {
        guard !counts.isEmpty else { return false }
        let key = text.withUnsafeBytes { KnownMessages.key(time, sender, $0) }
        guard let count = counts[key] else {
            return wasEdited
                && origins.contains(KnownMessages.key(time, sender, UnsafeRawBufferPointer(start: nil, count: 0)))
        }
        counts[key] = count > 1 ? count - 1 : nil
        return true
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
