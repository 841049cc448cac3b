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
/// are, or if the text was edited since; if a conversation has two such, an import leaves out the first two.
///
/// So it does not matter whether a program gives its messages ids, and whether those stay the same. Each message takes some 80
/// bytes.
struct KnownMessages {
    /// Time and sender.
    private struct Origin: Hashable {
        let high: UInt64
        let low: UInt64
    }

    private struct Known {
        let seq: Seq
        /// Hashes of the text that was imported, which may be erased, and of the newest one.
        let first: UInt64?
        var newest: UInt64
        /// When the text was last changed.
        var edited: Timestamp?
        /// Whether a message of this import was this one.
        var isTaken = false
        /// The place of the next one with the same origin.
        var next: Int?
    }

    private var messages: [Known] = []
    /// The places of the first and the last message of an origin.
    private var places: [Origin: (first: Int, last: Int)] = [:]
    /// How many erased messages have a time. Nobody knows any more who sent them, and they must not come back.
    private var erased: [Timestamp: Int] = [:]

    /// - Parameter name: of a conversation, which need not exist.
    init(of name: String, in store: Store) throws(StoreError) {
        let exporter: StoreExporter
        do throws(StoreError) { exporter = try StoreExporter(name, of: store) } catch .noSuchConversation { return }
        // Times of erased messages, whose senders only an edit can tell.
        var nameless: [Seq: Timestamp] = [:]
        var edits: [Edit] = []
        while let piece = try exporter.next() {
            // Of damaged messages nobody knows what they were. What is imported once more can be seen.
            guard case .messages(let messages) = piece else { continue }
            messages.forEachImported { seq, time, sender, text, edited, isErased in
                let hash = KnownMessages.hash(text)
                switch (edited, isErased) {
                case (nil, false): add(Known(seq: seq, first: hash, newest: hash), time, sender)
                case (nil, true): nameless[seq] = time
                case (let edited?, false): edits.append(Edit(seq: edited, sender: sender, newest: hash, time: time))
                case (_, true): break
                }
            }
        }
        for edit in edits {
            guard let time = nameless.removeValue(forKey: edit.seq) else { continue }
            add(Known(seq: edit.seq, first: nil, newest: edit.newest), time, edit.sender)
        }
        for time in nameless.values { erased[time, default: 0] += 1 }
        let newest = Dictionary(edits.map { ($0.seq, $0) }) { $0.time <= $1.time ? $1 : $0 }
        for place in messages.indices where !newest.isEmpty {
            guard let edit = newest[messages[place].seq] else { continue }
            (messages[place].newest, messages[place].edited) = (edit.newest, edit.time)
        }
    }

    private struct Edit {
        let seq: Seq
        let sender: [UInt8]
        let newest: UInt64
        let time: Timestamp
    }

    private mutating func add(_ message: Known, _ time: Timestamp, _ sender: [UInt8]) {
        let origin = KnownMessages.origin(time, sender)
        messages.append(message)
        let place = messages.count - 1
        if let last = places[origin]?.last { messages[last].next = place }
        places[origin, default: (place, place)].last = place
    }

    /// Says what a message is, and crosses out the one that it is.
    ///
    /// - Parameter edited: when its text was last changed, if it was.
    mutating func take(time: Timestamp, sender: [UInt8], text: [UInt8], edited: Timestamp?) -> ImportStanding {
        var left: [Int] = []
        var next = places[KnownMessages.origin(time, sender)]?.first
        while let place = next {
            if !messages[place].isTaken { left.append(place) }
            next = messages[place].next
        }
        guard !left.isEmpty else {
            guard let count = erased[time] else { return .new }
            erased[time] = count > 1 ? count - 1 : nil
            return .known(nil)
        }
        let hash = text.withUnsafeBytes(KnownMessages.hash)
        func isNewer(_ place: Int) -> Bool {
            guard let edited else { return false }
            return messages[place].edited.map { $0 < edited } ?? true
        }
        if let place = left.first(where: { messages[$0].newest == hash })
            ?? left.first(where: { messages[$0].first == hash })
        {
            messages[place].isTaken = true
            // The text may have been changed back.
            return messages[place].newest != hash && isNewer(place)
                ? .edited(messages[place].seq) : .known(messages[place].seq)
        }
        // A text that is in no import yet, or one between two that are.
        guard edited != nil || left.contains(where: { messages[$0].edited != nil }) else { return .new }
        let place = left[0]
        messages[place].isTaken = true
        // To change the wrong one would hide its text.
        if left.count > 1 { return .known(nil) }
        return isNewer(place) ? .edited(messages[place].seq) : .known(messages[place].seq)
    }

    private static func origin(_ time: Timestamp, _ sender: [UInt8]) -> Origin {
        Digest(of: content(time, sender, [])).withUnsafeBytes { digest in
            Origin(
                high: digest.loadUnaligned(as: UInt64.self),
                low: digest.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
    }

    /// Tells the few texts of one origin apart.
    private static func hash(_ text: UnsafeRawBufferPointer) -> UInt64 {
        Digest(of: Array(text)).withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
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
